import type { ClientFrame, Grant } from '@conntext/contracts'
import type { Identity } from '@conntext/http'
import type { ServerWebSocket } from 'bun'
import type { Visibility } from '../access/view.ts'
import type { GatewayConfig } from '../config.ts'
import { type Bucket, fullBucket } from '../rate-limit.ts'
import { VoiceQueue } from '../voice/queue.ts'
import { SendQueue } from './send-queue.ts'

// What is queued beyond this makes a replay wait until the client has taken some of it.
const REPLAY_QUEUE_BYTES = 262_144

export type ReadFrame = Extract<ClientFrame, { op: 'read' }>
export type SendFrame = Extract<ClientFrame, { op: 'message.send' }>

export type SocketData = { connection: Connection }
export type Socket = ServerWebSocket<SocketData>

/** What is known of whoever opens a connection, before it has said a word. */
export type Opening = { id: string; address: string; userAgent: string | null; compress: boolean }

/** One client's WebSocket: who it is, what it sees, and how far it has been served. */
export class Connection {
  readonly openedAt = performance.now()
  socket!: Socket
  open = false
  identity: Identity | undefined
  grant: Grant | undefined
  /** Rises with every change of the account's grant: whatever was fetched before it is stale. */
  grantVersion = 0
  identifying = false
  /** Set with `ready`: from then on the connection is somebody's, and sees this. */
  visibility: Visibility | undefined
  /** The conversations that its account takes part in, as far as it sees them. */
  readonly conversations = new Set<string>()
  /** While it is catching up: the last event of each visible stream that it has. Undefined once it follows live. */
  positions: Map<string, number> | undefined
  heartbeatAt = this.openedAt
  slowSince: number | undefined
  readonly frames: Bucket
  /** Its changes of presence. */
  readonly presences: Bucket
  readonly sends = new SendQueue()
  /** What it asks in calls. */
  readonly voice: { bucket: Bucket; queue: VoiceQueue }
  /** What has been read and is to be noted. */
  reads: ReadFrame[] = []
  marking = false
  /** What has arrived and is to be told: how far, in which conversation. */
  readonly deliveries = new Map<string, number>()
  telling = false
  /** Its session has ended, or its account is no member any more: what it has asked for and waits is not done. */
  expelled = false
  #drained: PromiseWithResolvers<void> | undefined

  constructor(
    readonly opening: Opening,
    { socket, voice }: Pick<GatewayConfig, 'socket' | 'voice'>,
  ) {
    this.frames = fullBucket(socket.frames, this.openedAt)
    this.presences = fullBucket(socket.presences, this.openedAt)
    this.voice = { bucket: fullBucket(voice.operations, this.openedAt), queue: new VoiceQueue() }
  }

  get id(): string {
    return this.opening.id
  }

  send(frame: string): void {
    if (this.open) this.socket.send(frame, this.opening.compress)
  }

  /** What is sent meanwhile goes in few writes. */
  together(send: () => void): void {
    if (this.open) this.socket.cork(send)
  }

  close(code: number, reason: string): void {
    if (!this.open) return
    this.open = false
    this.socket.close(code, reason)
  }

  /** The name under which it subscribes: the same events go out packed and as they are, to whoever asked for which. */
  topic(name: string): string {
    return this.opening.compress ? `${name}z` : name
  }

  /** Ends it for somebody who may not be here any more. */
  expel(code: number, reason: string): void {
    this.expelled = true
    this.close(code, reason)
  }

  get congested(): boolean {
    return this.open && this.socket.getBufferedAmount() > REPLAY_QUEUE_BYTES
  }

  /** Resolves when the client has taken what was queued, or is gone. */
  drained(): Promise<void> {
    if (!this.congested) return Promise.resolve()
    this.#drained ??= Promise.withResolvers()
    return this.#drained.promise
  }

  /** Whoever waits for the queue looks again. */
  wake(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }
}

/** Whoever is behind a connection, for other services; undefined for who may not be here any more. */
export function callerOf({ identity, opening, expelled }: Connection, requestId: string) {
  if (expelled || !identity) return undefined
  const { userId, sessionId, kind, scopes } = identity
  const { address, userAgent } = opening
  return { userId, sessionId, kind, scopes: scopes && [...scopes], address, userAgent, requestId }
}
