import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startPostgres } from '@conntext/embedded'
import { startServerProcess } from './server-process.ts'
import { type SplitProcess, startBalancer, startSplit } from './split/index.ts'

/** ConnText as its clients see it, however its services are spread over processes. */
export type Deployment = {
  /** Where clients connect. */
  url: string
  /** Its gateways, each by itself: what one counts, another does not know. */
  gateways: string[]
  processes: { name: string; pid: number }[]
  /** What all of them have printed since they were started last. */
  output(): string
  /** Ends all of it as the signal does, but for the engines, and waits until it is gone. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  /** Starts it again on the same data and at the same address. */
  restart(): Promise<void>
  /** Works on a database as the superuser while nothing of ConnText's runs. */
  withDatabase<T>(name: 'server_details' | 'communications', work: (url: string) => Promise<T>): Promise<T>
  [Symbol.asyncDispose](): Promise<void>
}

/** `CONNTEXT_TEST_TOPOLOGY` says which one a test run is about. */
export const topology: 'all-in-one' | 'split' = process.env.CONNTEXT_TEST_TOPOLOGY === 'split' ? 'split' : 'all-in-one'

/**
 * Starts ConnText in the topology of the test run, with settings over those that it has: all of it in one process, or
 * its services as processes of their own, with two gateways behind a balancer and two of messaging. Nobody owns it yet.
 */
export const startDeployment = (env: Record<string, string> = {}): Promise<Deployment> =>
  topology === 'split' ? startApart(env) : startTogether(env)

async function startTogether(env: Record<string, string>): Promise<Deployment> {
  const server = await startServerProcess(env)
  return {
    url: server.url,
    gateways: [server.url],
    get processes() {
      return [{ name: 'server', pid: server.pid }]
    },
    output: server.output,
    kill: async (signal) => ended('server', signal, await server.kill(signal)),
    restart: server.restart,
    async withDatabase(name, work) {
      const password = await readFile(join(server.data, 'secrets', 'postgres-password'), 'utf8')
      const directory = join(server.data, 'postgres')
      const engine = await startPostgres({ directory, superuserPassword: password.trim() })
      return work(engine.url(name)).finally(() => engine.stop())
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

async function startApart({ CONNTEXT_PORT = '0', ...env }: Record<string, string>): Promise<Deployment> {
  const split = await startSplit({ env })
  const balancer = await startBalancer(split.urls, Number(CONNTEXT_PORT))
  const { gateways, processes } = split
  const within = processes.filter((one) => !gateways.includes(one))
  const all = (work: (one: SplitProcess) => Promise<void>, of: SplitProcess[]) => Promise.all(of.map(work))
  return {
    url: balancer.url,
    gateways: split.urls,
    get processes() {
      return processes.map(({ name, pid }) => ({ name, pid }))
    },
    output: () => processes.map((one) => one.output()).join('\n'),
    async kill(signal) {
      const end = async (one: SplitProcess) => ended(one.name, signal, await one.kill(signal))
      // In order: whoever asks before whoever is asked.
      if (signal === 'SIGTERM') await all(end, gateways)
      await all(end, signal === 'SIGTERM' ? within : processes)
    },
    async restart() {
      await all((one) => one.start(), processes)
    },
    withDatabase(name, work) {
      const url = new URL(split.engines.env.CONNTEXT_POSTGRES_ADMIN_URL!)
      url.pathname = `/${name}`
      return work(url.href)
    },
    async [Symbol.asyncDispose]() {
      await balancer[Symbol.asyncDispose]()
      await split[Symbol.asyncDispose]()
    },
  }
}

function ended(name: string, signal: 'SIGTERM' | 'SIGKILL', code: number | null): void {
  if (signal === 'SIGTERM' && code !== 0) throw new Error(`${name} did not end in order: ${code}`)
}
