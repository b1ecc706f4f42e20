import { createServer, connect as dial, type Socket } from 'node:net'

const LOOK_EVERY_MS = 200

export type Balancer = {
  url: string
  /** Ends every connection that is open, as a broken line would. */
  cut(): void
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * What stands before gateways, on the port given or any: each connection goes to the next one that says it is ready, and
 * to another one where it can't be had. It knows nothing of HTTP.
 */
export async function startBalancer(urls: string[], at = 0): Promise<Balancer> {
  const ready = new Map(urls.map((url) => [url, true]))
  const open = new Set<Socket>()
  let turn = 0
  const look = async (url: string) => {
    const answer = await fetch(`${url}/readyz`, { keepalive: false }).catch(() => undefined)
    ready.set(url, answer?.ok ?? false)
  }
  const looking = setInterval(() => void Promise.all(urls.map(look)), LOOK_EVERY_MS)

  const join = async (client: Socket) => {
    track(client)
    turn += 1
    const inTurn = urls.map((_, index) => urls[(turn + index) % urls.length]!)
    const candidates = [...inTurn.filter((url) => ready.get(url)), ...inTurn.filter((url) => !ready.get(url))]
    for (const url of candidates) {
      const upstream = await reach(new URL(url))
      if (!upstream) continue
      track(upstream)
      client.pipe(upstream)
      upstream.pipe(client)
      client.on('close', () => upstream.destroy())
      upstream.on('close', () => client.destroySoon())
      return
    }
    client.destroy()
  }
  const track = (socket: Socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
  }

  const server = createServer((client) => void join(client))
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}`,
    cut() {
      for (const socket of open) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      clearInterval(looking)
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function reach({ hostname, port }: URL): Promise<Socket | undefined> {
  const { promise, resolve } = Promise.withResolvers<Socket | undefined>()
  const socket = dial({ host: hostname, port: Number(port), noDelay: true })
  socket.once('connect', () => resolve(socket)).once('error', () => resolve(undefined))
  return promise
}
