import type { Bus } from '@conntext/bus'
import {
  type AuthPort,
  closeCodes,
  type MessagingPort,
  type RealtimePort,
  SERVER_STREAM,
  type SystemPort,
  streamChannel,
} from '@conntext/contracts'
import { type Guard, internalError, MaintenanceGate, problemResponse, requestId } from '@conntext/http'
import { type Clock, type Logger, systemClock } from '@conntext/kernel'
import type { Server } from 'bun'
import type { Registry } from 'prom-client'
import { Access } from './access/access.ts'
import { Conversations } from './access/conversations.ts'
import { watchDrift } from './access/drift.ts'
import type { GatewayConfig } from './config.ts'
import { createAdmission } from './http/admission.ts'
import { createCors } from './http/cors.ts'
import { compileOperations } from './http/operations.ts'
import { createPipeline, type Upstream } from './http/pipeline.ts'
import { createMetrics } from './metrics.ts'
import { Presences } from './presence/presences.ts'
import { createReadiness } from './readiness.ts'
import { gatewayRoutes } from './routes.ts'
import type { SocketData } from './sockets/connection.ts'
import { Connections, PRESENCE_TOPIC, SERVER_TOPIC, userTopic } from './sockets/connections.ts'
import { sendAway, socketHandler, upgrade } from './sockets/gateway-socket.ts'
import { Operations } from './sockets/operations.ts'
import { Replay, resetFrame } from './sockets/replay.ts'
import { startSweep } from './sockets/sweep.ts'
import { StreamHub } from './streams/hub.ts'
import { streamSource } from './streams/source.ts'
import { Typing } from './typing/typing.ts'
import type { CallsPort } from './voice/operations.ts'
import { Voice } from './voice/voice.ts'

export * from './config.ts'

export type GatewayDeps = {
  config: GatewayConfig
  log: Logger
  clock?: Clock
  bus: Bus
  /** Listening already: whoever made it starts and stops it. */
  guard: Guard
  /** The services' public routes: `app.handle` in one process, `fetch` across a network. */
  upstreams: Record<'auth' | 'system' | 'messaging' | 'realtime', Upstream>
  ports: {
    auth: Pick<AuthPort, 'ownUser' | 'health'>
    system: Pick<SystemPort, 'streamHeads' | 'streamEvents' | 'health'>
    messaging: Pick<
      MessagingPort,
      | 'streamHeads'
      | 'streamEvents'
      | 'sendMessages'
      | 'conversationsOf'
      | 'conversation'
      | 'acknowledgeDeliveries'
      | 'assertAccepted'
      | 'markRead'
      | 'readStates'
      | 'contactsOf'
      | 'health'
    >
    realtime: Pick<RealtimePort, 'health'> & CallsPort
  }
  /** The merged OpenAPI document: what is public and what is not is read from it. */
  openapi: object
  /** The AsyncAPI document of the WebSocket, as YAML. */
  asyncapi: string
  version: string
  /** Where the figures go; one of the gateway's own unless given. */
  metrics?: Registry
}

export type Gateway = {
  /** The addresses that the gateway answers by itself, for the OpenAPI document. */
  app: ReturnType<typeof gatewayRoutes>
  /** Resolves when it listens. */
  start(): Promise<{ url: string; port: number }>
  /** Sends every client away and finishes the requests under way, in bounded time. Closes nothing it was given. */
  stop(): Promise<void>
}

// Uploads are bounded by the service that takes them; what JSON routes take is bounded here.
const MAX_BODY_BYTES = Number.MAX_SAFE_INTEGER
const IDLE_S = 60

/** The only public entry: HTTP to the services, and the clients' WebSocket. */
export function createGateway(deps: GatewayDeps): Gateway {
  const { config, log, bus, guard } = deps
  const metrics = createMetrics(deps.metrics)
  let server: Server<SocketData> | undefined
  let draining = false
  const maintenance = new MaintenanceGate({ guard, clock: deps.clock ?? systemClock })
  const sockets = createSockets(deps, { metrics, maintenance }, () => server)
  const cors = createCors(config.corsOrigins)
  const admission = createAdmission(config, guard)
  const own = gatewayRoutes({
    log,
    guard,
    metrics,
    openapi: deps.openapi,
    asyncapi: deps.asyncapi,
    version: deps.version,
    presences: sockets.presences,
    ready: createReadiness(deps.ports, bus, { isDraining: () => draining, patienceMs: config.patienceMs }),
    refused: ({ userId }, permission, route) => log.info({ userId, permission, route }, 'a request was refused'),
  })
  const socketDeps = { ...sockets, config, cors, admission, metrics, isDraining: () => draining }
  const handle = createPipeline({
    config,
    log,
    metrics,
    admission,
    maintenance,
    identify: (token) => guard.identify(token),
    cors,
    operationsOf: compileOperations(deps.openapi),
    upstreams: { ...deps.upstreams, gateway: own.handle },
    isDraining: () => draining,
    upgrade: (request, exchange) => upgrade(socketDeps, server!, request, exchange),
  })
  let endings: (() => void)[] = []

  const listen = (): Server<SocketData> =>
    Bun.serve<SocketData>({
      hostname: config.hostname,
      port: config.port,
      maxRequestBodySize: MAX_BODY_BYTES,
      idleTimeout: IDLE_S,
      development: false,
      fetch: (request, here) =>
        handle(request, {
          address: here.requestIP(request)?.address,
          keepOpen: () => here.timeout(request, 0),
        }) as Promise<Response>,
      error(error) {
        log.error({ err: error }, 'a request failed in the gateway itself')
        return problemResponse(internalError(error), requestId(new Headers()))
      },
      websocket: socketHandler(socketDeps),
    })

  return {
    app: own,

    async start() {
      await sockets.conversations.start()
      sockets.access.start()
      sockets.hub.start()
      await sockets.presences.start()
      await sockets.voice.start()
      const { access, connections } = sockets
      const { reconcileMs } = config.streams
      const endOnGap = bus.onGap(() => queueMicrotask(() => access.recheck()))
      endings = [
        startSweep(config.socket, connections, deps.clock ?? systemClock),
        watchDrift({ guard, access, connections, log, everyMs: reconcileMs }),
        guard.onRevoked(({ sessionId }) => {
          for (const one of connections.ofSession(sessionId)) one.expel(closeCodes.sessionRevoked, 'session revoked')
        }),
        () => void endOnGap(),
      ]
      server = listen()
      const port = server.port ?? config.port
      log.info({ port }, 'the gateway listens')
      return { url: `http://localhost:${port}`, port }
    },

    async stop() {
      draining = true
      await sockets.presences.leave()
      await Promise.all([sendAway(sockets.connections, config.lingerMs), Bun.sleep(config.lingerMs)])
      await closeServer(server, config.drainMs)
      await sockets.voice.stop()
      for (const end of endings.splice(0)) end()
      sockets.access.stop()
      await sockets.conversations.stop()
      await sockets.hub.stop()
    },
  }
}

/** Everything behind the WebSocket: who is connected, what they see, and the streams they follow. */
function createSockets(
  deps: GatewayDeps,
  { metrics, maintenance }: { metrics: ReturnType<typeof createMetrics>; maintenance: MaintenanceGate },
  server: () => Server<SocketData> | undefined,
) {
  const { config, log, bus, guard, ports, clock = systemClock } = deps
  const connections = new Connections()
  const source = streamSource(ports)
  const access = new Access({
    ...{ guard, connections, messaging: ports.messaging, clock, log },
    ...{ hub: () => hub, voice: () => voice.states },
  })
  const conversations = new Conversations({
    messaging: ports.messaging,
    bus,
    hub: () => hub,
    voice: () => voice.states,
    access,
    connections,
    clock,
    log,
  })

  const topicOf = (stream: string): string | undefined => {
    const channelId = streamChannel(stream)
    if (channelId !== undefined) return access.view.topicOf(channelId) ?? conversations.topicOf(channelId)
    return stream === SERVER_STREAM ? SERVER_TOPIC : userTopic(stream.slice('user:'.length))
  }

  const receivers = (topic: string): number => connections.followers(topic) + connections.followers(`${topic}z`)

  /** The frame is text already: one publish, and Bun writes the same bytes to everybody. */
  const publishTo = (topic: string, frame: string): number => {
    const plain = connections.followers(topic)
    const packed = connections.followers(`${topic}z`)
    if (plain > 0) server()?.publish(topic, frame, false)
    if (packed > 0) server()?.publish(`${topic}z`, frame, true)
    metrics.deliveries.inc(plain + packed)
    return plain + packed
  }

  const publish = (stream: string, frame: string): void => {
    const topic = topicOf(stream)
    if (topic === undefined) return
    publishTo(topic, frame)
    metrics.published.inc()
  }

  const presences = new Presences({
    config: config.presence,
    ...{ bus, guard, connections, clock, log },
    held: () => access.gate.closed,
    publish(frame, count) {
      metrics.presencesTold.inc(count)
      return publishTo(PRESENCE_TOPIC, frame)
    },
    counted: (count) => metrics.presences.set(count),
  })
  const { messaging } = ports
  const typing = new Typing({ config, bus, guard, messaging, access, presences, clock, log, metrics })

  const voice: Voice = new Voice({
    ...{ config, bus, clock, log, publish, maintenance },
    port: ports.realtime,
    held: () => access.gate.closed,
    catchingUp: () => connections.catchingUp,
    counted: (count) => metrics.participants.set(count),
  })

  const hub: StreamHub = new StreamHub({
    config: config.streams,
    bus,
    source,
    log,
    metrics,
    gate: access.gate,
    deliver(stream, frame) {
      conversations.beforeDelivery(stream, frame)
      const count = () => receivers(topicOf(stream) ?? '')
      if (typing.admit(stream, frame, count)) publish(stream, frame)
    },
    reset(stream, seq) {
      publish(stream, resetFrame(stream, seq))
      conversations.afterReset(stream)
    },
    needed(stream) {
      const topic = topicOf(stream)
      return topic !== undefined && receivers(topic) > 0
    },
  })
  const replay = new Replay({ hub, source, access, connections, metrics })
  const operations = new Operations({
    config,
    guard,
    auth: ports.auth,
    messaging: ports.messaging,
    access,
    conversations,
    hub,
    source,
    connections,
    presences,
    typing,
    voice: voice.operations,
    voiceStates: voice.states,
    replay,
    maintenance,
    metrics,
    clock,
    log,
  })
  return { connections, access, conversations, presences, voice, hub, operations }
}

/** Waits for the requests under way, for `drainMs` at most. */
async function closeServer(server: Server<SocketData> | undefined, drainMs: number): Promise<void> {
  if (!server) return
  const timer = setTimeout(() => void server.stop(true), drainMs)
  await server.stop()
  clearTimeout(timer)
}
