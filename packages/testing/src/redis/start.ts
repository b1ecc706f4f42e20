import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@conntext/embedded'
import { type BoundProcess, spawnBound } from '@conntext/embedded/bound-process'
import { locateRedis, type Redis } from './locate.ts'

const readyMs = 30_000
const stopMs = 5_000
const attempts = 3
const slots = 16_384

export interface RedisServer {
  url: string
  port: number
  /** What `redis-cli` answers. */
  cli(...args: string[]): Promise<string>
  /** Ends it in order. */
  stop(): Promise<void>
  /** Ends it as kill -9 does. */
  kill(): Promise<void>
  /** Stands still from now on: connections stay open, and nothing is answered. */
  freeze(): void
  thaw(): void
  /** Starts it anew on the same port, after ending it where it runs. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RedisCluster {
  urls: string[]
  nodes: RedisServer[]
  [Symbol.asyncDispose](): Promise<void>
}

/** Whether this machine has a Redis to test against; without one such tests are skipped. `npm test` gets one. */
export const hasRedis = (): boolean => locateRedis() !== undefined

/** Starts a Redis of the test's own, on loopback, which ends when this process does, kill -9 included. */
export async function startRedis(options: { port?: number; password?: string } = {}): Promise<RedisServer> {
  return startServer(options.port, options.password === undefined ? [] : ['--requirepass', options.password])
}

/** A cluster of three nodes that share the slots, each a process of its own. */
export async function startRedisCluster(): Promise<RedisCluster> {
  const busPorts = [await freePort(), await freePort(), await freePort()]
  const own = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-port']
  const nodes = await Promise.all(busPorts.map((port) => startServer(undefined, [...own, String(port)])))
  const edge = (index: number) => Math.floor((index * slots) / nodes.length)
  for (const [index, node] of nodes.entries()) {
    await node.cli('cluster', 'addslotsrange', String(edge(index)), String(edge(index + 1) - 1))
    if (index > 0) await node.cli('cluster', 'meet', '127.0.0.1', String(nodes[0]!.port), String(busPorts[0]))
  }
  await waitUntil('the cluster to know itself', async () => {
    const states = await Promise.all(nodes.map((node) => node.cli('cluster', 'info')))
    return states.every((state) => /cluster_state:ok/.test(state) && /cluster_known_nodes:3/.test(state))
  })
  return {
    urls: nodes.map(({ url }) => url),
    nodes,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()))
    },
  }
}

async function startServer(port: number | undefined, settings: string[]): Promise<RedisServer> {
  const redis = locateRedis()
  if (!redis) throw new Error('there is no Redis on this machine')
  const directory = await mkdtemp(join(tmpdir(), 'conntext-redis-'))
  removeAfterwards(directory)
  for (let attempt = 1; ; attempt += 1) {
    const server = new Server(redis, directory, port ?? (await freePort()), settings)
    try {
      await server.restart()
      return server
    } catch (error) {
      await server.kill()
      // A port that was free may have been taken before it got to it.
      if (port !== undefined || attempt === attempts) throw error
    }
  }
}

class Server implements RedisServer {
  #process: BoundProcess | undefined

  constructor(
    private readonly redis: Redis,
    private readonly directory: string,
    readonly port: number,
    private readonly settings: string[],
  ) {}

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async cli(...args: string[]): Promise<string> {
    const command = [this.redis.cli, '-h', '127.0.0.1', '-p', String(this.port), ...args]
    const password = this.settings[this.settings.indexOf('--requirepass') + 1]
    const env = this.settings.includes('--requirepass') ? { REDISCLI_AUTH: password! } : {}
    const child = Bun.spawn(command, { env: { ...this.redis.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const [output, faults] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
    if ((await child.exited) !== 0) throw new Error(`redis-cli ${args[0]} failed: ${faults}${output}`)
    return output.trim()
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  async restart(): Promise<void> {
    await this.stop()
    const own = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.directory, '--save', '']
    const command = [this.redis.server, ...own, '--appendonly', 'no', '--loglevel', 'warning', ...this.settings]
    const lines: string[] = []
    const started = spawnBound({
      command,
      env: this.redis.env,
      deathSignal: 'SIGKILL',
      onOutputLine: (line) => lines.push(line),
    })
    this.#process = started
    let ended = false
    void started.exited.then(() => {
      ended = true
    })
    await waitUntil('Redis to answer', async () => {
      if (ended) throw new Error(`Redis ended: ${[...lines, started.recentLines()].join('\n')}`)
      return (await this.cli('ping').catch(() => '')) === 'PONG'
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.directory, { recursive: true, force: true })
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const running = this.#process
    this.#process = undefined
    await running?.end([
      { signal, ms: stopMs },
      { signal: 'SIGKILL', ms: stopMs },
    ])
  }
}

async function waitUntil(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + readyMs
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await Bun.sleep(20)
  }
}

// Waits for this process's end, however it comes (the pipe closes): the server has ended with it.
const remove = 'cat >/dev/null; sleep 1; rm -rf "$1"'

/** Removes the directory once this process is gone: `bun test` runs no exit handlers. */
function removeAfterwards(directory: string): void {
  Bun.spawn(['/bin/sh', '-c', remove, 'sh', directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true }).unref()
}
