import { createRedisBus } from '@conntext/bus'
import { authPort, realtimePort, systemPort, VoiceBoard, type VoiceWords, voiceSubjects } from '@conntext/contracts'
import { callPort, type Handler, servePort } from '@conntext/http'
import { silentLogger } from '@conntext/kernel'
import { createTransport } from '@conntext/runtime'
import { eventually, freePort, testAuthority } from '@conntext/testing'
import { startRedis } from '@conntext/testing/redis'
import { type SplitProcess, splitProcess } from '@conntext/testing/split'
import { Person } from './person.ts'

const CREDENTIAL = 'a-credential-of-the-services'

export type NodeProcess = SplitProcess & { port: ReturnType<typeof portTo>; workers(): number[] }

const portTo = (url: string) => {
  const transport = createTransport({ service: 'realtime', urls: [url], credential: CREDENTIAL, patienceMs: 2_000 })
  return callPort(realtimePort, { transport, credential: CREDENTIAL })
}

/**
 * Nodes as the processes that they are in a deployment, over a real Redis; auth and system are the test's. What a
 * gateway does about nodes that fall silent is done by `board`.
 */
export async function startNodeProcesses(count: number, env: Record<string, string> = {}) {
  const redis = await startRedis()
  const bus = createRedisBus({ urls: [redis.url], log: silentLogger })
  const authority = await testAuthority(bus)
  const neighbours = serveNeighbours(authority)
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()))
  const nodes = Array.from({ length: count }, (_, index): NodeProcess => {
    const port = ports[index]!
    const url = `http://127.0.0.1:${port}`
    const made = splitProcess({
      ...{ name: `realtime-${index + 1}`, script: 'apps/realtime/src/main.ts', url },
      env: {
        CONNTEXT_HOST: '127.0.0.1',
        CONNTEXT_PORT: String(port),
        CONNTEXT_REDIS_URL: redis.url,
        CONNTEXT_SERVICE_CREDENTIAL: CREDENTIAL,
        ...neighbours.urls,
        CONNTEXT_VOICE_NODE_URL: url,
        CONNTEXT_VOICE_WORKERS: '1',
        CONNTEXT_VOICE_PORT: '0',
        CONNTEXT_VOICE_LISTEN_ADDRESSES: '127.0.0.1',
        ...env,
      },
    })
    return Object.assign(made, { port: portTo(url), workers: () => workersOf(made.pid) })
  })
  for (const node of nodes) node.launch()
  for (const node of nodes) await node.ready()
  const wanted = Number(env.CONNTEXT_VOICE_WORKERS ?? 1)
  const board = await watchNodes(bus)
  const settled = async () => {
    await eventually(async () => {
      const states = await Promise.all(nodes.map(({ port }) => port.voiceStatus({})))
      const open = board.board.nodes().filter(({ load }) => load.open)
      return states.every(({ workers, state }) => state === 'on' && workers === wanted) && open.length === nodes.length
    })
  }
  await settled()
  return {
    ...{ redis, bus, authority, nodes, board, settled },
    voiceChannel: () => authority.channel({ type: 'voice' }),
    async person(given: Parameters<typeof authority.member>[0] & { node?: number } = {}) {
      return Person.connect({ bus, port: nodes[given.node ?? 0]!.port, member: await authority.member(given) })
    },
    async [Symbol.asyncDispose]() {
      board.stop()
      await Promise.all(nodes.map((node) => node.kill('SIGKILL')))
      await bus.close()
      await neighbours.stop()
      await redis[Symbol.asyncDispose]()
    },
  }
}

type Authority = Awaited<ReturnType<typeof testAuthority>>

/** Auth as the test shapes it; system and messaging take everything in. */
function serveNeighbours(authority: Authority) {
  const options = { credential: CREDENTIAL, log: silentLogger }
  const auth = serve('auth', servePort(authPort, authority.port as never, options))
  const system = serve('system', servePort(systemPort, { ingestAudit: async () => ({}) } as never, options))
  const messaging = serve('messaging', { handle: async () => Response.json({}) })
  return {
    urls: { CONNTEXT_AUTH_URL: auth.url, CONNTEXT_SYSTEM_URL: system.url, CONNTEXT_MESSAGING_URL: messaging.url },
    stop: () => Promise.all([auth.stop(), system.stop(), messaging.stop()]),
  }
}

function serve(service: string, port: Handler) {
  const server = Bun.serve({
    ...{ port: 0, hostname: '127.0.0.1', idleTimeout: 0 },
    fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname === '/livez') return Response.json({ alive: true, service, version: '0' })
      return port.handle(new Request(`http://localhost${pathname}`, request))
    },
  })
  return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) }
}

/** Which nodes there are, as a gateway knows it. */
async function watchNodes(bus: ReturnType<typeof createRedisBus>) {
  const board = new VoiceBoard()
  const gone: { id: string; at: number }[] = []
  // What can't be asked now is asked when the bus is back.
  const ask = () => void bus.publish(voiceSubjects.ask, '{}').catch(() => {})
  bus.onGap(() => {
    board.interrupted(performance.now())
    ask()
  })
  await bus.subscribe(voiceSubjects.nodes, (payload) => {
    const words = JSON.parse(payload) as VoiceWords
    if (board.hear(words, performance.now()).ask) ask()
  })
  ask()
  const sweep = setInterval(() => {
    for (const id of board.sweep(performance.now()).gone) gone.push({ id, at: performance.now() })
  }, 1_000)
  return { board, gone, stop: () => clearInterval(sweep) }
}

function workersOf(pid: number): number[] {
  const { stdout } = Bun.spawnSync(['ps', '-o', 'pid=,args=', '--ppid', String(pid)])
  const lines = stdout.toString().split('\n')
  return lines.filter((line) => line.includes('mediasoup-worker')).map((line) => Number.parseInt(line, 10))
}
