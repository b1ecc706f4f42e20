import { createServer, connect as dial, type Socket } from 'node:net'

const LOOK_EVERY_MS = 200
const PATIENCE_MS = 10_000
const AGAIN_MS = 100

/** `away`: nobody answers there at all. */
type State = 'ready' | 'unready' | 'away'

export type Balancer = {
  url: string
  /** Ends every connection that is open, as a broken line would. */
  cut(): void
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * What stands before gateways, on the port given or any: each connection goes to the next one that says it is ready, and
 * waits for one that is about to be, as with Caddy. It knows nothing of HTTP.
 */
export async function startBalancer(urls: string[], at = 0): Promise<Balancer> {
  const states = new Map<string, State>(urls.map((url) => [url, 'ready']))
  const open = new Set<Socket>()
  let turn = 0
  const look = async () => {
    const looks = urls.map(async (url) => {
      const answer = await fetch(`${url}/readyz`, { keepalive: false }).catch(() => undefined)
      states.set(url, answer ? (answer.ok ? 'ready' : 'unready') : 'away')
    })
    await Promise.all(looks)
  }
  const looking = setInterval(() => void look(), LOOK_EVERY_MS)

  const reachInTurn = async (): Promise<Socket | undefined> => {
    turn += 1
    const inTurn = urls.map((_, index) => urls[(turn + index) % urls.length]!)
    for (const url of inTurn.filter((one) => states.get(one) === 'ready')) {
      const upstream = await reach(new URL(url))
      if (upstream) return upstream
    }
    return undefined
  }
  const join = async (client: Socket) => {
    track(client)
    const deadline = performance.now() + PATIENCE_MS
    let upstream = await reachInTurn()
    while (!upstream && !client.destroyed) {
      await look()
      const isHope = [...states.values()].some((state) => state !== 'away')
      if (!isHope || performance.now() > deadline) return client.destroy()
      upstream = await reachInTurn()
      if (!upstream) await Bun.sleep(AGAIN_MS)
    }
    if (upstream) pair(client, upstream)
  }
  const pair = (client: Socket, upstream: Socket) => {
    track(upstream)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroySoon())
    if (client.destroyed) return upstream.destroy()
    client.pipe(upstream)
    upstream.pipe(client)
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
