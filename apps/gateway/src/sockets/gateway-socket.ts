import { closeCodes, type HelloFrame, type ReconnectFrame } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import type { Server, WebSocketHandler } from 'bun'
import type { GatewayConfig } from '../config.ts'
import { gatewayErrors, upgradeRequired } from '../errors.ts'
import { type Admission, tooMany } from '../http/admission.ts'
import type { Cors } from '../http/cors.ts'
import type { Exchange } from '../http/pipeline.ts'
import type { Metrics } from '../metrics.ts'
import type { Presences } from '../presence/presences.ts'
import type { Voice } from '../voice/voice.ts'
import { Connection, type SocketData } from './connection.ts'
import type { Connections } from './connections.ts'
import type { Operations } from './operations.ts'

const MAX_USER_AGENT = 512

export type GatewaySocketDeps = {
  config: GatewayConfig
  cors: Cors
  admission: Admission
  connections: Connections
  operations: Operations
  presences: Presences
  voice: Voice
  metrics: Metrics
  isDraining(): boolean
}

/** Makes a WebSocket of a request. @throws the problem that a client gets instead */
export function upgrade(
  { config, cors, admission, connections, isDraining }: GatewaySocketDeps,
  server: Server<SocketData>,
  request: Request,
  exchange: Exchange,
): undefined {
  const { headers } = request
  exchange.allowance = admission.byAddress(exchange.address)
  if (exchange.allowance && !exchange.allowance.allowed) throw tooMany(exchange.allowance)
  const origin = headers.get('origin')
  if (origin !== null && !cors.allowed(origin)) throw gatewayErrors.originRefused()
  if (isDraining()) throw gatewayErrors.draining({ retryAfter: 1 })
  if (connections.all.size >= config.socket.maxConnections) throw gatewayErrors.full({ retryAfter: 5 })
  const compress = config.socket.compression && new URLSearchParams(exchange.target.search).get('compress') === '1'
  const userAgent = headers.get('user-agent')?.slice(0, MAX_USER_AGENT) ?? null
  const connection = new Connection({ id: newId(), address: exchange.address, userAgent, compress }, config)
  if (!server.upgrade(request, { data: { connection } })) throw upgradeRequired()
}

/**
 * Bun's own WebSocket, without a framework in between. permessage-deflate is agreed on for the whole server, not by
 * connection, and browsers always offer it; so packed frames go only to those who asked with `?compress=1`, and the
 * others, though they may have agreed to it, get theirs as they are.
 */
export function socketHandler(deps: GatewaySocketDeps): WebSocketHandler<SocketData> {
  const { config, connections, operations, presences, voice, metrics } = deps
  const { heartbeatMs, identifyMs, maxFrameBytes, frames, maxBufferedBytes, compression } = config.socket
  const limits = { maxFrameBytes, framesPerSecond: frames.perSecond, identifyMs }
  return {
    maxPayloadLength: maxFrameBytes,
    backpressureLimit: maxBufferedBytes,
    closeOnBackpressureLimit: true,
    perMessageDeflate: compression,
    // The protocol's own heartbeat tells who is gone.
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      const { connection } = socket.data
      connection.socket = socket
      connection.open = true
      connections.all.add(connection)
      metrics.connections.set(connections.all.size)
      const hello: HelloFrame = { op: 'hello', heartbeatMs, connectionId: connection.id, limits }
      connection.send(JSON.stringify(hello))
    },
    message: (socket, data) => operations.receive(socket.data.connection, data),
    drain: (socket) => socket.data.connection.wake(),
    close(socket, code) {
      const { connection } = socket.data
      connections.gone(connection)
      presences.left(connection)
      voice.operations.left(connection)
      connection.wake()
      metrics.connections.set(connections.all.size)
      metrics.closed(code)
    },
  }
}

// So often, while they are sent away, some of them are.
const STEP_MS = 50

/** Tells everybody to come back elsewhere, and lets them go: spread over `withinMs`, lest all come at once there. */
export async function sendAway(connections: Connections, withinMs: number): Promise<void> {
  const reconnect: ReconnectFrame = { op: 'reconnect' }
  const frame = JSON.stringify(reconnect)
  const all = [...connections.all]
  const steps = Math.max(1, Math.floor(withinMs / STEP_MS))
  const each = Math.ceil(all.length / steps)
  for (let at = 0; at < all.length; at += each) {
    if (at > 0) await Bun.sleep(STEP_MS)
    for (const connection of all.slice(at, at + each)) {
      connection.send(frame)
      connection.close(closeCodes.goingAway, 'going away; resume elsewhere')
    }
  }
}
