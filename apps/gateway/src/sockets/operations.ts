import { type ClientFrame, closeCodes, MAX_DELIVERIES, type MessagingPort } from '@conntext/contracts'
import { accessErrors, channelNotFound, type Guard, type MaintenanceGate, requestErrors } from '@conntext/http'
import { type AppError, beginSpan, type Clock, type Logger, newId, withContext } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import { gatewayErrors } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import { cleanChoice, cleanIntroduction } from '../presence/choice.ts'
import type { Choice } from '../presence/own.ts'
import { standsForPresence } from '../presence/presences.ts'
import { RateLimiter, secondsToToken, takeToken } from '../rate-limit.ts'
import type { Typing } from '../typing/typing.ts'
import type { VoiceOperations } from '../voice/operations.ts'
import { type Connection, callerOf, type ReadFrame, type SendFrame } from './connection.ts'
import { parseFrame } from './frames.ts'
import { type IdentifyDeps, type IdentifyFrame, identify, type Refusal } from './identify.ts'
import { fail, known, refer, succeed } from './replies.ts'

// More sends of one connection than this never wait at once, however slow messaging is.
const MAX_QUEUED_SENDS = 1_000
const MAX_QUEUED_READS = 500

type DeliveredFrame = Extract<ClientFrame, { op: 'delivered' }>
type RefreshFrame = Extract<ClientFrame, { op: 'refresh' }>
type PresenceFrame = Extract<ClientFrame, { op: 'presence' }>
type TypingFrame = Extract<ClientFrame, { op: 'typing' }>

export type OperationsDeps = IdentifyDeps & {
  config: GatewayConfig
  guard: Guard
  messaging: Pick<MessagingPort, 'sendMessages' | 'acknowledgeDeliveries' | 'markRead'>
  typing: Typing
  voice: VoiceOperations
  maintenance: MaintenanceGate
  metrics: Metrics
  clock: Clock
  log: Logger
  now?: () => number
}

/** What happens when a client has sent something. Never fails. */
export class Operations {
  readonly #messages: RateLimiter

  constructor(private readonly deps: OperationsDeps) {
    const { config, now } = deps
    this.#messages = new RateLimiter(config.socket.messages, config.maxBuckets, now)
  }

  receive(connection: Connection, data: string | Uint8Array): void {
    if (!connection.open) return
    const { config, metrics } = this.deps
    metrics.frames.inc()
    if (!takeToken(connection.frames, config.socket.frames, performance.now())) {
      connection.close(closeCodes.tooManyFrames, 'too many frames')
      return
    }
    if (typeof data !== 'string') {
      connection.close(closeCodes.unsupportedData, 'frames are text')
      return
    }
    const parsed = parseFrame(data)
    if (parsed.kind === 'malformed') connection.close(closeCodes.malformed, parsed.reason)
    else if (parsed.kind === 'invalid') {
      fail(connection, parsed.id, gatewayErrors.invalidFrame({ errors: parsed.faults }))
    } else this.#traced(connection, parsed.frame, data.length)
  }

  /** A trace may begin with a frame, and what is logged because of it has an id in common, as with a request. */
  #traced(connection: Connection, frame: ClientFrame, length: number): void {
    if (frame.op === 'heartbeat') {
      this.#dispatch(connection, frame, length)
      return
    }
    const attributes = { 'conntext.service': 'gateway' }
    const span = beginSpan(`frame ${frame.op}`, { kind: 'server', root: true, attributes })
    const context = { requestId: newId(), ...(span && { traceparent: span.traceparent }) }
    withContext(context, () => this.#dispatch(connection, frame, length))
    // What it leads to goes on: its parts say how long they took.
    span?.end()
  }

  /** `length` is the frame's, as text. */
  #dispatch(connection: Connection, frame: ClientFrame, length: number): void {
    if (frame.op === 'heartbeat') {
      connection.heartbeatAt = performance.now()
      succeed(connection, frame.id, '{}')
    } else if (frame.op === 'identify') void this.#identify(connection, frame)
    else if (!this.#mayAct(connection, frame.id)) return
    else if (frame.op === 'refresh') void this.#refresh(connection, frame)
    else if (frame.op === 'delivered') void this.#deliver(connection, frame)
    else if (frame.op === 'read') this.#read(connection, frame)
    else if (frame.op === 'typing') void this.#type(connection, frame)
    else if (frame.op === 'presence') this.#present(connection, frame)
    else if (frame.op === 'message.send') this.#send(connection, frame)
    else this.deps.voice.receive(connection, frame, length)
  }

  /** Before `identify` there is nobody who could do anything. */
  #mayAct(connection: Connection, id: number | undefined): boolean {
    if (connection.visibility) return true
    if (id === undefined) connection.close(closeCodes.authenticationFailed, 'identify first')
    else fail(connection, id, gatewayErrors.notIdentified())
    return false
  }

  async #identify(connection: Connection, frame: IdentifyFrame): Promise<void> {
    if (connection.identifying) {
      if (frame.id === undefined) connection.close(closeCodes.malformed, 'identified already')
      else fail(connection, frame.id, gatewayErrors.alreadyIdentified())
      return
    }
    const choice = this.#choiceOf(connection, frame)
    if (!choice) return
    connection.identifying = true
    try {
      const reply = () => succeed(connection, frame.id, '{}')
      const refused = await identify(this.deps, connection, frame, choice, reply)
      if (refused) this.#refuse(connection, frame.id, refused)
    } catch (error) {
      const known = this.#known(error)
      this.#refuse(connection, frame.id, { error: known, code: closeCodes.tryAgainLater, reason: 'try again later' })
    }
  }

  /** How it wants to be seen; where that is nothing to be shown it may identify again. */
  #choiceOf(connection: Connection, { id, presence }: IdentifyFrame): Choice | undefined {
    try {
      return cleanIntroduction(presence ?? {}, this.deps.clock.now())
    } catch (error) {
      if (id === undefined) connection.close(closeCodes.malformed, 'a presence that does not fit')
      else fail(connection, id, this.#known(error))
      return undefined
    }
  }

  #refuse(connection: Connection, id: number | undefined, { error, code, reason }: Refusal): void {
    if (id !== undefined) fail(connection, id, error)
    connection.close(code, reason)
  }

  async #refresh(connection: Connection, frame: RefreshFrame): Promise<void> {
    try {
      const identity = await this.deps.guard.identify(frame.token)
      const current = connection.identity
      if (!connection.open || !current) return
      // Another account's or session's token would make this connection somebody else's.
      if (identity?.userId !== current.userId || identity.sessionId !== current.sessionId) {
        throw accessErrors.unauthenticated("The token is not valid for this connection's session.")
      }
      connection.identity = identity
      succeed(connection, frame.id, '{}')
    } catch (error) {
      if (frame.id !== undefined) fail(connection, frame.id, this.#known(error))
    }
  }

  #send(connection: Connection, frame: SendFrame): void {
    const userId = connection.identity!.userId
    const allowance = this.#messages.take(userId)
    const full = connection.sends.length >= MAX_QUEUED_SENDS
    if (full || (allowance && !allowance.allowed)) {
      const retryAfter = Math.max(1, allowance?.retryAfter ?? 1)
      const detail = `Too many messages: again in ${retryAfter} s.`
      if (frame.id !== undefined) fail(connection, frame.id, requestErrors.tooMany({ detail, retryAfter }))
      return
    }
    this.deps.typing.wrote(frame.channelId, userId)
    connection.sends.add(frame, (frames) => this.#ship(connection, frames))
  }

  async #ship(connection: Connection, frames: SendFrame[]): Promise<void> {
    const requestId = newId()
    const caller = callerOf(connection, requestId)
    if (!caller) return
    try {
      await this.deps.maintenance.assertOpen(async () => caller)
      const outcomes = await this.deps.messaging.sendMessages({
        caller,
        sends: frames.map(({ op: _, id: __, channelId, ...message }) => ({ channelId, message })),
      })
      connection.together(() =>
        frames.forEach(({ id }, index) => {
          const outcome = outcomes[index]!
          if ('message' in outcome) succeed(connection, id, JSON.stringify(outcome.message))
          else if (id !== undefined) refer(connection, id, outcome.problem)
        }),
      )
    } catch (error) {
      const known = this.#known(error, requestId)
      for (const { id } of frames) if (id !== undefined) fail(connection, id, known, requestId)
    }
  }

  /** Replied when it is heard: what gets lost on its way is told by what comes after it. */
  async #deliver(connection: Connection, { id, channelId, seq }: DeliveredFrame): Promise<void> {
    try {
      await this.deps.maintenance.assertOpen(async () => connection.identity)
    } catch (error) {
      if (id !== undefined) fail(connection, id, this.#known(error))
      return
    }
    if (!connection.conversations.has(channelId)) {
      if (id !== undefined) fail(connection, id, channelNotFound())
      return
    }
    const { deliveries } = connection
    deliveries.set(channelId, Math.max(seq, deliveries.get(channelId) ?? 0))
    succeed(connection, id, '{}')
    if (!connection.telling) void this.#tell(connection)
  }

  /** What arrives while a call is under way goes together with the next. */
  async #tell(connection: Connection): Promise<void> {
    connection.telling = true
    const { deliveries, identity } = connection
    while (deliveries.size > 0 && identity && !connection.expelled) {
      const some = [...deliveries].slice(0, MAX_DELIVERIES).map(([channelId, seq]) => ({ channelId, seq }))
      for (const { channelId } of some) deliveries.delete(channelId)
      await this.deps.messaging
        .acknowledgeDeliveries({ userId: identity.userId, deliveries: some })
        .catch((error: unknown) => this.deps.log.warn({ err: error }, 'deliveries could not be noted'))
    }
    connection.telling = false
  }

  #read(connection: Connection, frame: ReadFrame): void {
    if (connection.reads.length < MAX_QUEUED_READS) connection.reads.push(frame)
    else if (frame.id !== undefined) fail(connection, frame.id, requestErrors.tooMany({ retryAfter: 1 }))
    if (!connection.marking) void this.#mark(connection)
  }

  /** One call at a time; what arrives meanwhile of the same channel is said once, the farthest. */
  async #mark(connection: Connection): Promise<void> {
    connection.marking = true
    while (connection.reads.length > 0) {
      const { channelId } = connection.reads[0]!
      const frames = connection.reads.filter((frame) => frame.channelId === channelId)
      connection.reads = connection.reads.filter((frame) => frame.channelId !== channelId)
      await this.#markOne(connection, channelId, frames)
    }
    connection.marking = false
  }

  async #markOne(connection: Connection, channelId: string, frames: ReadFrame[]): Promise<void> {
    const requestId = newId()
    const caller = callerOf(connection, requestId)
    if (!caller) return
    try {
      await this.deps.maintenance.assertOpen(async () => caller)
      const seq = Math.max(...frames.map((frame) => frame.seq))
      const state = await this.deps.messaging.markRead({ caller, channelId, seq })
      for (const { id } of frames) succeed(connection, id, JSON.stringify(state))
    } catch (error) {
      const known = this.#known(error, requestId)
      for (const { id } of frames) if (id !== undefined) fail(connection, id, known, requestId)
    }
  }

  async #type(connection: Connection, { id, channelId }: TypingFrame): Promise<void> {
    try {
      await this.deps.typing.start(connection, channelId)
      succeed(connection, id, '{}')
    } catch (error) {
      if (id !== undefined) fail(connection, id, this.#known(error))
    }
  }

  #present(connection: Connection, { id, op: _, ...chosen }: PresenceFrame): void {
    const { config, clock, presences } = this.deps
    try {
      if (!standsForPresence(connection)) {
        throw accessErrors.forbidden("A person's API token doesn't say how they are there.")
      }
      if (!takeToken(connection.presences, config.socket.presences, performance.now())) {
        const retryAfter = secondsToToken(connection.presences, config.socket.presences)
        throw requestErrors.tooMany({ detail: `Too many changes: again in ${retryAfter} s.`, retryAfter })
      }
      const presence = presences.say(connection, cleanChoice(chosen, clock.now()))
      succeed(connection, id, JSON.stringify(presence))
    } catch (error) {
      if (id !== undefined) fail(connection, id, this.#known(error))
    }
  }

  #known(error: unknown, requestId?: string): AppError {
    return known(this.deps.log, error, requestId)
  }
}
