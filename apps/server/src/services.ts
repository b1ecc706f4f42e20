import { createAuthService } from '@conntext/auth'
import type { Bus } from '@conntext/bus'
import { authPort, messagingPort, realtimePort, systemPort } from '@conntext/contracts'
import { createGateway } from '@conntext/gateway'
import { callPort, createBeacon, type LogShipping, type Service } from '@conntext/http'
import { createLogger, type LogThreshold, randomToken } from '@conntext/kernel'
import type { MasterKey } from '@conntext/keyring'
import { createConsoleMailer, createSmtpMailer } from '@conntext/mailer'
import { createMessagingService } from '@conntext/messaging'
import { createRealtimeService, createWorkerGetter } from '@conntext/realtime'
import { createRegistry } from '@conntext/runtime'
import { createSystemService } from '@conntext/system'
import type { ServerConfig } from './config.ts'
import type { SetupCode } from './setup-code.ts'
import type { Stores } from './stores.ts'

export type Deps = {
  config: ServerConfig
  stores: Stores
  bus: Bus
  masterKey: MasterKey
  setupCode: Pick<SetupCode, 'read' | 'discard'>
  version: string
  /** The OpenAPI document that the gateway serves and reads its routes' rules from. */
  openapi: object
  asyncapi: string
  logs: LogShipping
  /** How much all of them log. */
  logging: LogThreshold
}

/** The five services of one process, each reaching the others through its port, as it would across a network. */
export function createServices(deps: Deps) {
  const { config, stores, bus, masterKey, setupCode, version, openapi, asyncapi, logs, logging } = deps
  // Nobody outside this process can reach the ports, and within it they are called directly.
  const credential = randomToken()
  const log = (service: string) => createLogger({ service, level: logging, ship: logs.ship })
  const registry = createRegistry()
  const services: Record<string, Service> = {}
  // Each port is looked up when it is called: the services know one another in a circle.
  const port = (service: string) => ({ served: () => services[service]!.port })
  const auth = callPort(authPort, port('auth'))
  const system = callPort(systemPort, port('system'))
  const messaging = callPort(messagingPort, port('messaging'))
  const realtime = callPort(realtimePort, port('realtime'))

  const authService = createAuthService({
    db: stores.auth,
    bus,
    log: log('auth'),
    masterKey,
    setupCode: setupCode.read,
    onClaimed: setupCode.discard,
    system,
    messaging,
    credential,
    publicUrl: config.publicUrl,
    oidc: { returnOrigins: config.oidcReturnOrigins },
    webauthn: config.webauthn,
    mailer: config.smtp ? createSmtpMailer(config.smtp) : createConsoleMailer(console.log),
  })
  const { guard } = authService
  services.auth = authService
  const systemService = createSystemService({
    db: stores.system,
    audit: stores.audit,
    bus,
    log: log('system'),
    guard,
    masterKey,
    auth,
    messaging,
    realtime,
    credential,
    version,
    dataDirectory: config.data,
    backups: stores.backups,
    checkpointDirectory: config.checkpointDirectory,
  })
  services.system = systemService
  logs.deliverTo(async (request) => systemService.logs.take(request))
  services.messaging = createMessagingService({
    db: stores.messaging,
    objects: stores.objects,
    quotas: config.quotas,
    webhookRate: config.webhookRate,
    bus,
    log: log('messaging'),
    guard,
    auth,
    system,
    credential,
  })
  services.realtime = createRealtimeService({
    ...config.realtime,
    bus,
    log: log('realtime'),
    guard,
    system,
    messaging,
    credential,
    getter: createWorkerGetter({ logger: log('realtime') }),
    registry,
  })
  const gateway = createGateway({
    metrics: registry,
    config: config.gateway,
    log: log('gateway'),
    bus,
    guard,
    upstreams: {
      auth: (request) => services.auth!.app.handle(request),
      system: (request) => services.system!.app.handle(request),
      messaging: (request) => services.messaging!.app.handle(request),
      realtime: (request) => services.realtime!.app.handle(request),
    },
    ports: { auth, system, messaging, realtime },
    openapi,
    asyncapi,
    version,
  })
  return {
    services: Object.values(services),
    gateway,
    voiceStatus: () => realtime.voiceStatus({}),
    voiceSelfTest: realtime.voiceSelfTest,
    systemHealth: systemService.readiness,
    logStore: systemService.logs,
    beacon: createBeacon({ service: 'server', version, bus, registry, log: log('server'), logging }),
  }
}
