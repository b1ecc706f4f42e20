import { type Bus, createRedisBus } from '@conntext/bus'
import {
  type AuthPort,
  authPort,
  type MessagingPort,
  messagingPort,
  type RealtimePort,
  realtimePort,
  type ServiceName,
  type SystemPort,
  systemPort,
} from '@conntext/contracts'
import { callPort, createBeacon, Guard, instanceName, type LogShipping, type Service, shipLogs } from '@conntext/http'
import {
  type ConfigRule,
  createLogger,
  type Logger,
  type LogLevel,
  LogThreshold,
  parseConfig,
  readEnvironment,
  StartError,
} from '@conntext/kernel'
import { startTraces } from '@conntext/telemetry'
import { type Static, type TObject, type TProperties, Type } from '@sinclair/typebox'
import type { Registry } from 'prom-client'
import { createFigures, createRegistry } from './figures.ts'
import { Lifecycle } from './lifecycle.ts'
import { listen } from './listen.ts'
import { allowManyRequests } from './many-requests.ts'
import {
  addressSetting,
  addressSettings,
  type Credentials,
  credentialsOf,
  listenerSettings,
  type Neighbour,
  parseableUrls,
  processSettings,
  urlsOf,
} from './settings.ts'
import { createTransport, type NetworkTransport } from './transport/index.ts'
import { mayPass, Stopped, untilThere } from './waiting.ts'

export type Ports = { auth: AuthPort; system: SystemPort; messaging: MessagingPort; realtime: RealtimePort }
const tables = { auth: authPort, system: systemPort, messaging: messagingPort, realtime: realtimePort }

/** What a process of its own has, whichever service it runs. */
export type Process<S extends TProperties, N extends Neighbour> = {
  settings: Readonly<Static<TObject<S>>>
  bus: Bus
  log: Logger
  /** Where what is logged goes besides standard output; to the system service, where that is another process. */
  logs: LogShipping
  /** Where the process's figures are. */
  registry: Registry
  credentials: Credentials
  /** The other services' ports, over the network. */
  ports: Pick<Ports, N>
  /** The other services' public routes, over the network. */
  upstreams: Record<N, NetworkTransport>
  /** Has something closed at the end, after all that was started later. */
  closing(name: string, stop: () => Promise<void>): Promise<void>
  /** Tries until it succeeds; says what is being waited for. */
  untilThere<T>(what: string, attempt: () => Promise<T>): Promise<T>
  /** One plain line for the operator. */
  say(line: string): void
}

export type ProcessDefinition<S extends TProperties, N extends Neighbour> = {
  name: ServiceName
  settings: S
  rules?: ConfigRule[]
  version: string
  /** The services that it calls. */
  neighbours: readonly N[]
  /** Resolves when it can be used. What it starts it hands to `closing`. */
  start(process: Process<S, N>): Promise<void>
}

/**
 * Runs a process: reads its configuration, connects it with the others, starts it, and ends it in order on a signal.
 * What can't be reached yet is waited for; what its operator has to mend ends it with 1.
 */
export async function runProcess<S extends TProperties, N extends Neighbour>(
  definition: ProcessDefinition<S, N>,
): Promise<void> {
  allowManyRequests()
  const began = performance.now()
  const { name, neighbours } = definition
  const say = (line: string) => console.error(`conntext ${name}: ${line}`)
  let lifecycle: Lifecycle | undefined
  try {
    const settings = readSettings(definition)
    const common = settings as unknown as Static<TObject<typeof processSettings>>
    const logs = shipLogs({ say })
    const logging = new LogThreshold(common.CONNTEXT_LOG_LEVEL as LogLevel)
    const log = createLogger({ service: name, level: logging, ship: logs.ship })
    lifecycle = new Lifecycle(log, say)
    lifecycle.endOnSignals()
    const { signal } = lifecycle
    const credentials = credentialsOf(common.CONNTEXT_SERVICE_CREDENTIAL)
    const bus = createRedisBus({
      urls: urlsOf(common.CONNTEXT_REDIS_URL),
      password: common.CONNTEXT_REDIS_PASSWORD,
      prefix: common.CONNTEXT_REDIS_PREFIX,
      log,
    })
    await lifecycle.closing('bus', () => bus.close())
    const connected = connect(neighbours, settings, credentials)
    const { system } = connected.ports as Partial<Ports>
    if (system) logs.deliverTo((request) => system.ingestLogs(request))
    await lifecycle.closing('logs', () => logs.stop())
    const around = lifecycle
    const traces = { service: name, version: definition.version, instance: instanceName() }
    await lifecycle.closing('traces', await startTraces(common, traces))
    const registry = createRegistry()
    await definition.start({
      settings,
      bus,
      log,
      logs,
      registry,
      credentials,
      ...connected,
      closing: (what, stop) => around.closing(what, stop),
      untilThere: (what, attempt) => untilThere(what, attempt, { say, signal }),
      say,
    })
    const beacon = createBeacon({ service: name, version: definition.version, bus, registry, log, logging })
    await beacon.start()
    await lifecycle.closing('beacon', () => beacon.stop())
    say(`ready after ${((performance.now() - began) / 1000).toFixed(1)} s`)
  } catch (error) {
    if (error instanceof Stopped) return
    await lifecycle?.close()
    if (!(error instanceof StartError)) console.error(error)
    say(error instanceof Error ? error.message : String(error))
    process.exit(1)
  }
}

function readSettings<S extends TProperties, N extends Neighbour>(definition: ProcessDefinition<S, N>) {
  const { neighbours, settings, rules = [] } = definition
  const schema = Type.Object({ ...processSettings, ...addressSettings(neighbours), ...settings })
  const env = readEnvironment(process.env)
  const urls = [...neighbours.map(addressSetting), 'CONNTEXT_REDIS_URL']
  return parseConfig(schema, env, [parseableUrls(urls), ...rules]) as unknown as Readonly<Static<TObject<S>>>
}

function connect<N extends Neighbour>(neighbours: readonly N[], settings: object, { shown }: Credentials) {
  const transports = neighbours.map((neighbour) => {
    const urls = urlsOf((settings as Record<string, string>)[addressSetting(neighbour)]!)
    return [neighbour, createTransport({ service: neighbour, urls, credential: shown })] as const
  })
  const ports = transports.map(([neighbour, transport]) => {
    const table = tables[neighbour]
    return [neighbour, callPort(table, { transport, credential: shown })] as const
  })
  return {
    upstreams: Object.fromEntries(transports) as Record<N, NetworkTransport>,
    ports: Object.fromEntries(ports) as unknown as Pick<Ports, N>,
  }
}

export type ServiceDefinition<S extends TProperties, N extends Neighbour> = {
  name: Neighbour
  /** Where it listens unless told otherwise. */
  port: number
  version: string
  settings: S
  rules?: ConfigRule[]
  neighbours: readonly N[]
  /** Opens the stores, waiting for them, and makes the service, whose own figures go to `registry`. */
  create(process: Process<S, N>): Promise<Service>
}

/** Runs a service that others reach inside only: its routes, its port, probes and figures on one address. */
export const runService = <S extends TProperties, N extends Neighbour>(
  definition: ServiceDefinition<S, N>,
): Promise<void> => {
  const { name, port, version } = definition
  const settings = { ...definition.settings, ...listenerSettings(port) }
  return runProcess<typeof settings, N>({
    ...definition,
    settings,
    async start(process) {
      const { credentials, log, say } = process
      const { CONNTEXT_HOST: hostname, CONNTEXT_PORT } = process.settings as unknown as ListenerSettings
      const figures = createFigures(process.registry)
      const listener = listen({ name, version, hostname, port: CONNTEXT_PORT, credentials, figures, log })
      say(`listening on http://${hostname}:${listener.port}`)
      await process.closing('listener', () => listener.close())
      await process.untilThere('Redis', () => process.bus.check())
      const service = await definition.create(process as unknown as Process<S, N>)
      await startWhenPossible(service, process.untilThere)
      // Requests first, then what they have left to do.
      await process.closing('service', async () => {
        service.drain?.()
        await listener.drain()
        await service.stop()
      })
      const { health } = callPort(tables[name], {
        transport: (request) => service.port.handle(request),
        credential: credentials.shown,
      })
      listener.serve(service, () => health({}))
    },
  })
}

type ListenerSettings = Static<TObject<ReturnType<typeof listenerSettings>>>

/** What fails for want of a store or a neighbour is tried again; anything else ends the process. */
async function startWhenPossible(
  service: Service,
  until: <T>(what: string, attempt: () => Promise<T>) => Promise<T>,
): Promise<void> {
  const failure = await until(`what the ${service.name} service needs`, async () => {
    try {
      await service.start()
      return undefined
    } catch (error) {
      if (mayPass(error)) throw error
      return { error }
    }
  })
  if (failure) throw failure.error
}

/** Over the auth service's port; started, and stopped with the process. */
export async function startGuard(
  process: Pick<Process<TProperties, 'auth'>, 'ports' | 'bus' | 'log' | 'closing' | 'untilThere'>,
): Promise<Guard> {
  const guard = new Guard({ auth: process.ports.auth, bus: process.bus, log: process.log })
  await process.untilThere('the auth service', () => guard.start())
  await process.closing('guard', () => guard.stop())
  return guard
}
