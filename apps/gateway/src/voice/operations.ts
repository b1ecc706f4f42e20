import type { VoiceFrame, VoiceOp, VoicePort } from '@conntext/contracts'
import { accessErrors, type MaintenanceGate, requestErrors } from '@conntext/http'
import { type AppError, answerWithin, type Logger, newId } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import { RateLimiter, secondsToToken, takeTokens } from '../rate-limit.ts'
import { type Connection, callerOf } from '../sockets/connection.ts'
import { fail, known, succeed } from '../sockets/replies.ts'
import { voiceErrors } from './errors.ts'
import type { Participation, Participations } from './participations.ts'

export type VoiceOperationsOptions = {
  config: Pick<GatewayConfig, 'voice' | 'maxBuckets'>
  gatewayId: string
  port: CallsPort
  participations: Participations
  maintenance: MaintenanceGate
  log: Logger
}

type JoinFrame = Extract<VoiceFrame, { op: 'voice.join' }>
type Outcome = { data: unknown; after?(): void } | { error: AppError; requestId: string }

/** What is asked of the node, by whoever is in a call. */
const ASKED = {
  'voice.leave': 'voiceLeave',
  'voice.createTransport': 'voiceCreateTransport',
  'voice.connectTransport': 'voiceConnectTransport',
  'voice.produce': 'voiceProduce',
  'voice.consume': 'voiceConsume',
  'voice.resumeConsumer': 'voiceResumeConsumer',
  'voice.setPreferredLayers': 'voiceSetPreferredLayers',
  'voice.pause': 'voicePause',
  'voice.resume': 'voiceResume',
  'voice.closeProducer': 'voiceCloseProducer',
  'voice.restartIce': 'voiceRestartIce',
  'voice.stats': 'voiceStats',
} as const satisfies Record<Exclude<VoiceOp, 'voice.join'>, keyof VoicePort>

// For how many an operation counts that is a question for each stream that one has, or is told to everybody in the call.
const OF_ALL_STREAMS = 25
const TOLD_TO_ALL = 10

function costOf(frame: VoiceFrame): number {
  if (frame.op === 'voice.stats') return OF_ALL_STREAMS
  if (frame.op === 'voice.produce' || frame.op === 'voice.closeProducer') return TOLD_TO_ALL
  if (frame.op !== 'voice.pause' && frame.op !== 'voice.resume') return 1
  if (frame.consumerId !== undefined) return 1
  return frame.producerId === undefined ? OF_ALL_STREAMS : TOLD_TO_ALL
}

/** What a gateway asks of the nodes. */
export type CallsPort = Pick<VoicePort, 'voiceJoin' | 'voiceDetach' | (typeof ASKED)[keyof typeof ASKED]>
type Ask = (request: object) => Promise<unknown>

/** Brings what clients ask in calls to the nodes that have them. Never fails. */
export class VoiceOperations {
  readonly #joins: RateLimiter
  readonly #parting = new Set<Promise<void>>()

  constructor(private readonly options: VoiceOperationsOptions) {
    this.#joins = new RateLimiter(options.config.voice.joins, options.config.maxBuckets)
  }

  /** `length` is the frame's, as text. */
  receive(connection: Connection, frame: VoiceFrame, length: number): void {
    const { operations } = this.options.config.voice
    const { voice } = connection
    const cost = costOf(frame)
    if (!takeTokens(voice.bucket, operations, performance.now(), cost)) {
      this.#tooMany(connection, frame, secondsToToken(voice.bucket, operations, cost))
    } else if (!voice.queue.add(frame, length, (frames) => this.#run(connection, frames))) {
      this.#tooMany(connection, frame, 1)
    }
  }

  /** A connection is gone: its part in a call waits for whoever comes back to it. */
  left(connection: Connection): void {
    connection.voice.queue.clear()
    const participation = this.options.participations.forget(connection)
    if (participation) this.#part('voiceDetach', participation)
  }

  /** Resolves when the nodes know of everybody who is gone, or can't be told in time. */
  async settled(withinMs: number): Promise<void> {
    await answerWithin(withinMs, () => Promise.all(this.#parting)).catch(() => {})
  }

  #tooMany(connection: Connection, { id }: VoiceFrame, retryAfter: number): void {
    const detail = `Too many operations: again in ${retryAfter} s.`
    if (id !== undefined) fail(connection, id, requestErrors.tooMany({ detail, retryAfter }))
  }

  async #run(connection: Connection, frames: VoiceFrame[]): Promise<void> {
    const outcomes = await Promise.all(frames.map((frame) => this.#outcomeOf(connection, frame)))
    connection.together(() =>
      frames.forEach(({ id }, index) => {
        const outcome = outcomes[index]!
        if ('data' in outcome) succeed(connection, id, JSON.stringify(outcome.data))
        else if (id !== undefined) fail(connection, id, outcome.error, outcome.requestId)
      }),
    )
    for (const outcome of outcomes) if ('data' in outcome) outcome.after?.()
  }

  async #outcomeOf(connection: Connection, frame: VoiceFrame): Promise<Outcome> {
    const requestId = newId()
    try {
      if (frame.op === 'voice.join') return await this.#join(connection, frame, requestId)
      const { op, id: _, ...fields } = frame
      const participation = this.options.participations.of(connection)
      if (!participation) throw voiceErrors.notInCall()
      const ask = this.options.port[ASKED[op]] as Ask
      const data = await ask({ participant: participantOf(participation), ...fields })
      if (op === 'voice.leave') this.options.participations.forget(connection)
      return { data }
    } catch (error) {
      return { error: known(this.options.log, error, requestId), requestId }
    }
  }

  async #join(connection: Connection, { op: _, id: __, ...fields }: JoinFrame, requestId: string): Promise<Outcome> {
    const { participations, port, gatewayId, maintenance } = this.options
    const caller = callerOf(connection, requestId)
    if (!caller) throw accessErrors.unauthenticated()
    const allowance = this.#joins.take(caller.userId)
    if (allowance && !allowance.allowed) {
      const { retryAfter } = allowance
      throw requestErrors.tooMany({ detail: `Too many joins: again in ${retryAfter} s.`, retryAfter })
    }
    // Those who are in a call stay in it.
    await maintenance.assertOpen(async () => caller)
    participations.join(connection)
    try {
      const place = { gatewayId, connectionId: connection.id }
      const { joined, nodeId, notice } = await port.voiceJoin({ caller, place, ...fields })
      const { participantId, channelId } = joined
      const participation = { connection, participantId, channelId, nodeId, number: notice, interrupted: false }
      const after = () => {
        participations.joined(connection, participation)
        // Nobody has heard of what was begun just now; what there was before may be come back to.
        if (!connection.open) this.#part(joined.resumed ? 'voiceDetach' : 'voiceLeave', participation)
      }
      return { data: joined, after }
    } catch (error) {
      participations.joined(connection)
      throw error
    }
  }

  #part(how: 'voiceDetach' | 'voiceLeave', participation: Participation): void {
    const { port, log } = this.options
    const parting = port[how]({ participant: participantOf(participation) })
      // Without its lease the node finds out by itself.
      .catch((error: unknown) => log.debug({ err: error }, 'a node could not be told that somebody is gone'))
      .then(() => void this.#parting.delete(parting))
    this.#parting.add(parting)
  }
}

const participantOf = ({ channelId, participantId, nodeId, connection }: Participation) => ({
  ...{ channelId, participantId, nodeId, userId: connection.identity!.userId, connectionId: connection.id },
})
