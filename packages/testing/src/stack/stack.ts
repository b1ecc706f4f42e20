import { appendFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '@conntext/embedded'
import { Addresses } from './addresses.ts'
import { type Compose, type ComposeService, readCompose, startOrder } from './compose.ts'
import { type Member, ProcessMember } from './member.ts'
import { locateProgram } from './programs.ts'
import { type StandIn, standIns } from './stores.ts'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
/** The settings of a compose file that are this machine's to choose. */
type Env = Record<string, string | undefined>

export interface StackOptions {
  /** Default: docker/compose.yml. */
  file?: string
  /** Settings of the deployment, as its `.env` would have them; those of the compose file itself count before. */
  env?: Env
  /** Which optional services to start as well: the compose file's profiles. */
  profiles?: string[]
  /** What is going on, a line at a time. */
  say?: (line: string) => void
}

export interface Stack {
  /** Where people reach it: Caddy's address, or the first gateway's where there is no Caddy on this machine. */
  url: string
  /** Of every gateway. */
  gateways: string[]
  setupCode: string
  /** By the compose file's names; those that have ended in order, such as `migrate`, among them. */
  members: ReadonlyMap<string, Member>
  /** Services that were left out, and why. */
  leftOut: { name: string; why: string }[]
  /** With logs, data and secrets; gone after `stop`. */
  directory: string
  member(name: string): Member
  /** Ends everything in order: each before what it depends on. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts what docker/compose.yml describes as plain processes of this machine: every service of ours with exactly the
 * command and the environment that stand there, in the order of `depends_on`, each once those before it are healthy.
 * Names of hosts become 127.0.0.1, ports free ones, secrets files of their own; in the place of the stores' images
 * stand the embedded engines and Debian's packages. All of it is thrown away at the end, and ends when this process
 * does.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-stack-'))
  // Postgres, which never runs as root, passes through.
  await chmod(directory, 0o711)
  removeAfterwards(directory)
  const starting = new Starting(directory, options)
  try {
    return await starting.run()
  } catch (error) {
    await starting.stop()
    throw error
  }
}

class Starting {
  readonly #say: (line: string) => void
  readonly #members = new Map<string, Member>()
  readonly #started = new Map<string, Promise<void>>()
  readonly #leftOut: { name: string; why: string }[] = []
  #compose!: Compose
  #addresses!: Addresses
  #stopping: Promise<void> | undefined

  constructor(
    private readonly directory: string,
    private readonly options: StackOptions,
  ) {
    this.#say = options.say ?? (() => {})
  }

  async run(): Promise<Stack> {
    const { file = join(root, 'docker/compose.yml'), env = {}, profiles = [] } = this.options
    await Promise.all(['logs', 'data'].map((name) => mkdir(join(this.directory, name), { mode: 0o711 })))
    makeSecrets(join(dirname(file), 'make-secrets'), join(this.directory, 'secrets'))
    const text = await Bun.file(file).text()
    const withCaddy = locateProgram('caddy') !== undefined
    const ports = { HTTP_PORT: String(await freePort()), HTTPS_PORT: String(await freePort()) }
    const direct = await freePort()
    const url = withCaddy ? `https://localhost:${ports.HTTPS_PORT}` : `http://127.0.0.1:${direct}`
    this.#compose = readCompose(text, file, { CONNTEXT_PUBLIC_URL: url, ...env, ...ports })
    const services = wanted(this.#compose, profiles)
    this.#addresses = new Addresses(new Set(services.keys()))
    const gateways = [...services.values()].filter(({ command }) => command[0] === 'gateway')
    if (gateways[0]) this.#addresses.place(gateways[0].name, portOf(gateways[0]), direct)
    await this.#startAll(services)
    const setupCode = (await Bun.file(this.#secret('setup_code')).text()).trim()
    return {
      url: env.CONNTEXT_PUBLIC_URL ?? url,
      gateways: gateways.map(({ name }) => this.#members.get(name)?.url ?? ''),
      setupCode,
      members: this.#members,
      leftOut: this.#leftOut,
      directory: this.directory,
      member: (name) => {
        const found = this.#members.get(name)
        if (!found) throw new Error(`the stack has no ${name}`)
        return found
      },
      stop: () => this.stop(),
      [Symbol.asyncDispose]: () => this.stop(),
    }
  }

  #secret(name: string): string {
    return join(this.directory, 'secrets', name)
  }

  /** All at once, each as soon as what it depends on is there. */
  async #startAll(services: Map<string, ComposeService>): Promise<void> {
    for (const name of startOrder(services)) {
      const service = services.get(name)!
      const before = Object.keys(service.dependsOn).map((other) => this.#started.get(other))
      this.#started.set(
        name,
        Promise.all(before).then(() => this.#start(service)),
      )
    }
    await Promise.all(this.#started.values())
  }

  async #start(service: ComposeService): Promise<void> {
    if (this.#stopping) throw new Error('the stack is being stopped')
    const began = performance.now()
    const member = service.built ? await this.#ours(service) : await this.#standIn(service)
    if (!member) return
    this.#members.set(service.name, member)
    await member.start()
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    this.#say(`${service.name}: ${service.command[0] === 'migrate' ? 'done' : 'ready'} after ${seconds} s`)
  }

  async #standIn(service: ComposeService): Promise<Member | undefined> {
    const image = service.image.split(':')[0]!
    const make: StandIn | undefined = standIns[image]
    const directory = join(this.directory, 'data', service.name)
    await mkdir(directory, { mode: 0o711 })
    const log = this.#log(service.name)
    const member = await make?.({
      service,
      addresses: this.#addresses,
      directory,
      log,
      secret: (name) => this.#secret(name),
      write: (line) => appendFileSync(log, `${line}\n`),
    })
    if (!member) this.#leftOut.push({ name: service.name, why: `this machine has nothing that stands in for ${image}` })
    return member
  }

  #log(name: string): string {
    return join(this.directory, 'logs', `${name}.log`)
  }

  /** With the command and the environment of the compose file, and nothing else but what the image itself sets. */
  async #ours(service: ComposeService): Promise<Member> {
    const { name, command, raw } = service
    const passing = command[0] === 'migrate'
    const port = passing ? undefined : await this.#addresses.port(name, portOf(service))
    const environment = await this.#environmentOf(service, port)
    const url = port === undefined ? undefined : `http://127.0.0.1:${port}`
    return new ProcessMember({
      name,
      url,
      log: this.#log(name),
      command: ['/bin/sh', join(root, 'docker/conntext'), ...command],
      env: { ...imageEnvironment(), ...environment },
      stopMs: seconds(raw.stop_grace_period) * 1000,
      readyMs: 180_000,
      ...(url !== undefined && { ready: async () => (await fetch(`${url}/readyz`)).ok }),
    })
  }

  async #environmentOf({ environment, secrets }: ComposeService, port: number | undefined) {
    const replaced: Record<string, string> = {}
    for (const [key, value] of Object.entries(environment)) {
      const secret = /^\/run\/secrets\/(\w+)$/.exec(value)?.[1]
      if (secret !== undefined && !secrets.includes(secret))
        throw new Error(`${key} names a secret that is not granted`)
      replaced[key] = secret === undefined ? await this.#addresses.replace(value) : this.#secret(secret)
    }
    return port === undefined ? replaced : { ...replaced, CONNTEXT_HOST: '127.0.0.1', CONNTEXT_PORT: String(port) }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #stopAll(): Promise<void> {
    await this.#stopInOrder()
    // One that was just being started is there only now.
    await Promise.allSettled(this.#started.values())
    await this.#stopInOrder()
    await rm(this.directory, { recursive: true, force: true })
  }

  async #stopInOrder(): Promise<void> {
    const stopped = new Map<string, Promise<void>>()
    const services = this.#compose?.services ?? new Map<string, ComposeService>()
    for (const name of startOrder(services).reverse()) {
      const after = [...services.values()].filter(({ dependsOn }) => Object.hasOwn(dependsOn, name))
      const waiting = after.map((other) => stopped.get(other.name))
      stopped.set(
        name,
        Promise.all(waiting).then(() => this.#members.get(name)?.stop()),
      )
    }
    await Promise.allSettled(stopped.values())
  }
}

function wanted(compose: Compose, profiles: string[]): Map<string, ComposeService> {
  const asked = [...compose.services].filter(
    ([, service]) => service.profiles.length === 0 || service.profiles.some((profile) => profiles.includes(profile)),
  )
  return new Map(asked)
}

function portOf({ name, environment }: ComposeService): number {
  const port = Number(environment.CONNTEXT_PORT)
  if (!Number.isInteger(port)) throw new Error(`${name} has no CONNTEXT_PORT`)
  return port
}

/** Of a duration such as 40s or 1m. */
function seconds(duration: unknown): number {
  const [, amount, unit] = /^(\d+)(s|m)$/.exec(String(duration ?? '10s')) ?? []
  return Number(amount ?? 10) * (unit === 'm' ? 60 : 1)
}

/** What docker/Dockerfile sets, and what a process of this machine takes besides. */
function imageEnvironment(): Record<string, string> {
  const env: Record<string, string> = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH ?? '/usr/bin:/bin'}`,
    NODE_ENV: 'production',
    BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0',
  }
  // Where the media worker is cached; by the last, what a test run leaves behind is found.
  for (const name of ['HOME', 'TMPDIR', 'XDG_CACHE_HOME', 'MEDIASOUP_WORKER_BIN', 'CONNTEXT_TEST_RUN']) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

function makeSecrets(script: string, directory: string): void {
  const { exitCode, stderr } = Bun.spawnSync([script, directory])
  if (exitCode !== 0) throw new Error(`the secrets could not be made: ${stderr}`)
}

// Waits for this process's end, however it comes (the pipe closes), then for what it had started, which ends with it.
const remove = 'cat >/dev/null; sleep 5; rm -rf "$1"'

/** Removes the directory once this process is gone: `bun test` runs no exit handlers. */
function removeAfterwards(directory: string): void {
  Bun.spawn(['/bin/sh', '-c', remove, 'sh', directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true }).unref()
}
