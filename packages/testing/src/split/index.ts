import { freePort } from '@conntext/embedded'
import { randomToken } from '@conntext/kernel'
import { SETUP_CODE } from '../server-process.ts'
import { type EngineOptions, type Engines, startEngines } from './engines.ts'
import { runToEnd, type SplitProcess, splitProcess } from './process.ts'

export { type Balancer, startBalancer } from './balancer.ts'
export { canSplit, type Engine, type Engines, startEngines } from './engines.ts'
export { runToEnd, type SplitProcess, splitProcess } from './process.ts'

export type SplitOptions = EngineOptions & {
  /** How many of each: two gateways, two of messaging, and one of the others unless told. */
  gateways?: number
  messaging?: number
  auth?: number
  system?: number
  realtime?: number
  /** For all of its processes, over what they have. */
  env?: Record<string, string>
}

export type Split = {
  gateways: SplitProcess[]
  messaging: SplitProcess[]
  /** The first of each. */
  auth: SplitProcess
  system: SplitProcess
  realtime: SplitProcess
  /** All of them. */
  processes: SplitProcess[]
  engines: Engines
  /** Where clients connect. */
  urls: string[]
  setupCode: string
  /** What `conntext migrate` was run with. */
  migrateEnv: Record<string, string>
  /** All that an operator's command can be told: the engines, the services and the master key. */
  operatorEnv: Record<string, string>
  [Symbol.asyncDispose](): Promise<void>
}

type Addresses = Record<'gateway' | 'auth' | 'system' | 'messaging' | 'realtime', string[]>

/**
 * Starts the split deployment as processes of their own, each with the settings of its own and no more, over engines of
 * its own; resolves when all are ready. They end when this process does.
 */
export async function startSplit({ env = {}, durability, ...counts }: SplitOptions = {}): Promise<Split> {
  const engines = await startEngines({ ...(durability && { durability }) })
  const processes: SplitProcess[] = []
  try {
    const at = await chooseAddresses(counts)
    const { settings, migrate } = settingsOf(engines, at, env)
    await runToEnd('apps/server/src/cli/main.ts', ['migrate'], migrate)
    const make = (service: keyof Addresses) =>
      at[service].map((url, index) => {
        const name = at[service].length > 1 ? `${service}-${index + 1}` : service
        const address = { CONNTEXT_HOST: '127.0.0.1', CONNTEXT_PORT: new URL(url).port }
        // Where several nodes of calls are, they reach one another by this.
        const node: Record<string, string> = service === 'realtime' ? { CONNTEXT_VOICE_NODE_URL: url } : {}
        const script = `apps/${service}/src/main.ts`
        const made = splitProcess({ name, script, url, env: { ...settings[service], ...address, ...node } })
        processes.push(made)
        return made
      })
    const split = {
      auth: make('auth')[0]!,
      system: make('system')[0]!,
      realtime: make('realtime')[0]!,
      messaging: make('messaging'),
      gateways: make('gateway'),
    }
    // Side by side and in no order: each waits for what it needs.
    for (const one of processes) one.launch()
    await Promise.all(processes.map((one) => one.ready()))
    return {
      ...split,
      processes,
      engines,
      urls: at.gateway,
      setupCode: SETUP_CODE,
      migrateEnv: migrate,
      operatorEnv: { ...engines.env, ...settings.auth, ...migrate },
      [Symbol.asyncDispose]: () => end(processes, engines),
    }
  } catch (error) {
    await end(processes, engines)
    throw error
  }
}

async function end(processes: SplitProcess[], engines: Engines): Promise<void> {
  await Promise.all(processes.map((one) => one.kill('SIGKILL')))
  await engines[Symbol.asyncDispose]()
}

async function chooseAddresses({
  gateways = 2,
  messaging = 2,
  auth = 1,
  system = 1,
  realtime = 1,
}: SplitOptions): Promise<Addresses> {
  const counts = { gateway: gateways, auth, system, messaging, realtime }
  const chosen = Object.entries(counts).map(async ([service, count]) => {
    const urls = Array.from({ length: count }, async () => `http://127.0.0.1:${await freePort()}`)
    return [service, await Promise.all(urls)] as const
  })
  return Object.fromEntries(await Promise.all(chosen)) as Addresses
}

/** What each service is told: what it needs, and nothing else. */
function settingsOf({ env: engines }: Engines, at: Addresses, over: Record<string, string>) {
  const pick = (prefix: string) =>
    Object.fromEntries(Object.entries(engines).filter(([name]) => name.startsWith(prefix)))
  const admin = engines.CONNTEXT_POSTGRES_ADMIN_URL!
  const services = ['auth', 'system', 'messaging', 'realtime', 'backup'] as const
  const passwords = Object.fromEntries(services.map((name) => [name, randomToken()])) as Record<
    (typeof services)[number],
    string
  >
  const database = (service: keyof typeof passwords, name: string) => {
    const url = Object.assign(new URL(admin), { username: `conntext_${service}`, password: '', pathname: `/${name}` })
    return { url: url.href, CONNTEXT_DATABASE_PASSWORD: passwords[service] }
  }
  const [auth, system, messaging, backup] = [
    database('auth', 'server_details'),
    database('system', 'server_details'),
    database('messaging', 'communications'),
    database('backup', 'server_details'),
  ] as const
  const common = {
    ...pick('CONNTEXT_REDIS_'),
    CONNTEXT_SERVICE_CREDENTIAL: randomToken(),
    CONNTEXT_AUTH_URL: at.auth.join(','),
    CONNTEXT_SYSTEM_URL: at.system.join(','),
    CONNTEXT_MESSAGING_URL: at.messaging.join(','),
    CONNTEXT_REALTIME_URL: at.realtime.join(','),
  }
  const master = { CONNTEXT_MASTER_KEY: randomToken(32) }
  const of = ({ url, ...password }: typeof auth, name: string) => ({ [name]: url, ...password })
  const details = 'CONNTEXT_SERVER_DETAILS_URL'
  const settings = {
    gateway: { ...common, ...over },
    auth: {
      ...common,
      ...master,
      ...of(auth, details),
      CONNTEXT_SETUP_CODE: SETUP_CODE,
      CONNTEXT_PUBLIC_URL: at.gateway[0]!,
      ...over,
    },
    system: {
      ...common,
      ...master,
      ...of(system, details),
      ...pick('CONNTEXT_CLICKHOUSE_'),
      ...pick('CONNTEXT_S3_'),
      CONNTEXT_BACKUP_DATABASE_URL: backup.url,
      CONNTEXT_BACKUP_DATABASE_PASSWORD: passwords.backup,
      ...over,
    },
    messaging: { ...common, ...of(messaging, 'CONNTEXT_COMMUNICATIONS_URL'), ...pick('CONNTEXT_S3_'), ...over },
    realtime: { ...common, CONNTEXT_VOICE_WORKERS: '1', CONNTEXT_VOICE_PORT: '0', ...over },
  }
  const migrate = {
    ...pick('CONNTEXT_CLICKHOUSE_'),
    CONNTEXT_POSTGRES_ADMIN_URL: admin,
    ...Object.fromEntries(
      Object.entries(passwords).map(([name, password]) => [
        `CONNTEXT_${name.toUpperCase()}_DATABASE_PASSWORD`,
        password,
      ]),
    ),
  }
  return { settings, migrate }
}
