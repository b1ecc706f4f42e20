import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { startClickHouse, startPostgres } from '@conntext/embedded'
import { locateCeph } from '../radosgw/locate.ts'
import { startRadosgw } from '../radosgw/start.ts'
import { locateRedis } from '../redis/locate.ts'
import type { Addresses } from './addresses.ts'
import type { ComposeService } from './compose.ts'
import { type Member, ProcessMember } from './member.ts'
import { locateProgram } from './programs.ts'

/** What a stand-in for a container is given. */
export interface Place {
  service: ComposeService
  addresses: Addresses
  /** Of this container alone. */
  directory: string
  log: string
  /** Where the file of a secret is. */
  secret(name: string): string
  write(line: string): void
}

/** What stands in for a container whose image isn't ours; it isn't started yet. Undefined where this machine has none. */
export type StandIn = (place: Place) => Promise<Member | undefined> | Member | undefined

/** By the image's name, without its version. */
export const standIns: Record<string, StandIn> = {
  postgres,
  'clickhouse/clickhouse-server': clickhouse,
  'minio/minio': objectStore,
  redis,
  caddy,
  'coturn/coturn': coturn,
}

const readSecret = (path: string): string => readFileSync(path, 'utf8').trim()

/** The file itself nobody may write to. */
function replace(path: string, value: string): void {
  rmSync(path)
  writeFileSync(path, value, { mode: 0o400 })
}

interface Engine {
  pid: number
  stop(): Promise<void>
  exited: Promise<unknown>
}

/** An engine that comes embedded, as a member. */
class EngineMember implements Member {
  #engine: Engine | undefined

  constructor(
    readonly name: string,
    readonly url: string,
    readonly log: string,
    private readonly launch: () => Promise<Engine>,
  ) {}

  get pid(): number | undefined {
    return this.#engine?.pid
  }

  async start(): Promise<void> {
    this.#engine = await this.launch()
  }

  async stop(): Promise<void> {
    await this.#engine?.stop()
  }

  async kill(): Promise<void> {
    if (!this.#engine) return
    process.kill(this.#engine.pid, 'SIGKILL')
    await this.#engine.exited
  }
}

/** With the settings that the container is given: `-c name=value`. */
async function postgres({ service, addresses, directory, log, secret, write }: Place): Promise<Member> {
  const given = service.command.filter((_, index) => service.command[index - 1] === '-c')
  const settings = Object.fromEntries(given.map((pair) => pair.split('=') as [string, string]))
  const port = await addresses.port(service.name, 5432)
  return new EngineMember(service.name, `postgres://127.0.0.1:${port}`, log, () =>
    startPostgres({
      directory: `${directory}/postgres`,
      superuserPassword: readSecret(secret('postgres_password')),
      port,
      settings,
      log: write,
    }),
  )
}

async function clickhouse({ service, addresses, directory, log, secret, write }: Place): Promise<Member> {
  const port = await addresses.port(service.name, 8123)
  const password = readSecret(secret('clickhouse_password'))
  return new EngineMember(service.name, `http://127.0.0.1:${port}`, log, () =>
    startClickHouse({ directory: `${directory}/clickhouse`, user: 'conntext', password, port, log: write }),
  )
}

/** Ceph's, in memory; it chooses its keys itself, and the files of the secrets follow. */
function objectStore({ service, addresses, log, secret }: Place): Member | undefined {
  const ceph = locateCeph()
  if (!ceph) return undefined
  let running: Awaited<ReturnType<typeof startRadosgw>> | undefined
  const stop = async () => void (await running?.stop())
  return {
    name: service.name,
    get url() {
      return running?.endpoint
    },
    pid: undefined,
    log,
    async start() {
      if (running) throw new Error(`${service.name} keeps nothing: it can't be started again`)
      running = await startRadosgw(ceph)
      addresses.place(service.name, 9000, Number(new URL(running.endpoint).port))
      replace(secret('s3_access_key'), running.accessKey)
      replace(secret('s3_secret_key'), running.secretKey)
    },
    stop,
    kill: stop,
  }
}

/** With the container's own configuration file. */
async function redis({ service, addresses, directory, log, secret }: Place): Promise<Member | undefined> {
  const found = locateRedis()
  if (!found) return undefined
  const port = await addresses.port(service.name, 6379)
  const password = readSecret(secret('redis_password'))
  const file = `${directory}/redis.conf`
  const own = `requirepass ${password}\nport ${port}\nbind 127.0.0.1\ndir ${directory}\n`
  writeFileSync(file, `${readFileSync(bindOf(service, '/etc/conntext/redis.conf'), 'utf8')}\n${own}`, { mode: 0o600 })
  const ask = [found.cli, '-p', String(port), 'ping']
  return new ProcessMember({
    name: service.name,
    url: `redis://127.0.0.1:${port}`,
    log,
    command: [found.server, file],
    env: found.env,
    ready: async () => {
      const env = { ...found.env, REDISCLI_AUTH: password }
      return Bun.spawnSync(ask, { env }).stdout.toString().trim() === 'PONG'
    },
    readyMs: 30_000,
    stopMs: 10_000,
  })
}

/** With the container's own Caddyfile, under a name that leads to this machine. */
async function caddy({ service, addresses, directory, log }: Place): Promise<Member | undefined> {
  const found = locateProgram('caddy')
  if (!found) return undefined
  const admin = `127.0.0.1:${await addresses.port(service.name, 2019)}`
  const { environment } = service
  const gateways = await addresses.replace(environment.GATEWAYS ?? '')
  return new ProcessMember({
    name: service.name,
    url: environment.CONNTEXT_PUBLIC_URL,
    log,
    command: [found.path, 'run', '--config', bindOf(service, '/etc/caddy/Caddyfile'), '--adapter', 'caddyfile'],
    env: {
      ...found.env,
      ...environment,
      GATEWAYS: gateways,
      ADMIN: admin,
      XDG_DATA_HOME: directory,
      XDG_CONFIG_HOME: directory,
      HOME: directory,
    },
    // Its certificate comes a moment after it listens.
    ready: async () =>
      (await fetch(environment.CONNTEXT_PUBLIC_URL!, { tls: { rejectUnauthorized: false } })).status > 0,
    readyMs: 30_000,
    stopMs: 20_000,
  })
}

async function coturn({ service, addresses, directory, log, secret }: Place): Promise<Member | undefined> {
  const found = locateProgram('turnserver')
  if (!found) return undefined
  const port = await addresses.port(service.name, 3478)
  const file = `${directory}/turnserver.conf`
  const own = [
    `static-auth-secret=${readSecret(secret('turn_secret'))}`,
    `realm=${service.environment.TURN_REALM}`,
    `listening-port=${port}`,
    'listening-ip=127.0.0.1',
    `pidfile=${directory}/turnserver.pid`,
    `userdb=${directory}/turndb`,
  ]
  const common = readFileSync(bindOf(service, '/etc/conntext/turnserver.conf'), 'utf8')
    .split('\n')
    .filter((line) => !/^(listening-port|pidfile)=/.test(line))
  writeFileSync(file, [...common, ...own, ''].join('\n'), { mode: 0o600 })
  return new ProcessMember({
    name: service.name,
    url: `turn:127.0.0.1:${port}`,
    log,
    command: [found.path, '-c', file],
    env: found.env,
    ready: () => listens(port),
    readyMs: 30_000,
    stopMs: 5_000,
  })
}

async function listens(port: number): Promise<boolean> {
  const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })
  socket.end()
  return true
}

function bindOf(service: ComposeService, target: string): string {
  const found = service.binds.get(target)
  if (found === undefined) throw new Error(`${service.name} has no ${target}`)
  return found
}
