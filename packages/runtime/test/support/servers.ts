import { connect, createServer, type Server, type Socket } from 'node:net'
import type { ServiceHealth } from '@conntext/contracts'
import { silentLogger } from '@conntext/kernel'
import { createFigures } from '../../src/figures.ts'
import { type Listener, listen } from '../../src/listen.ts'

export const CREDENTIAL = 'credential-of-this-test'

export type Answer = (request: Request) => Response | Promise<Response>

/** A service that answers everything in one way. */
function serviceOf(answer: Answer) {
  const handler = { handle: async (request: Request) => answer(request) }
  const direct = () => Promise.reject(new Error('not in one process here'))
  return { app: handler, port: { ...handler, direct } }
}

const up = async (): Promise<ServiceHealth> => ({ service: 'messaging', state: 'up', dependencies: [] })

type Options = { port?: number; accepted?: string[]; starting?: boolean; health?: () => Promise<ServiceHealth> }

/** The service as a process of its own would offer it, here in this one. */
export function listening(answer: Answer, { port = 0, accepted, starting, health = up }: Options = {}) {
  const listener: Listener = listen({
    name: 'messaging',
    version: '0.0.0-test',
    hostname: '127.0.0.1',
    port,
    credentials: { shown: accepted?.[0] ?? CREDENTIAL, accepted: accepted ?? [CREDENTIAL] },
    figures: createFigures(),
    log: silentLogger,
  })
  const serve = () => listener.serve(serviceOf(answer), health)
  if (!starting) serve()
  return { ...listener, serve, url: `http://127.0.0.1:${listener.port}`, [Symbol.asyncDispose]: listener.close }
}

/** A server of bare connections: what comes of a request is for `speak` to decide. */
export async function speaking(speak: (text: string, socket: Socket) => void) {
  const open = new Set<Socket>()
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
    socket.on('data', (data) => speak(data.toString('latin1'), socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export const HTTP_OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'

/** What a server answers to these bytes, until it closes. */
export async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write(text))
  let answer = ''
  for await (const data of socket) answer += data
  return answer
}
