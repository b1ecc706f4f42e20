import type { Bus } from '@conntext/bus'
import {
  channelStream,
  EPHEMERAL,
  type EventData,
  encodeNews,
  ephemeralFrame,
  type MessagingPort,
  streamChannel,
  subjects,
} from '@conntext/contracts'
import { accessErrors, channelNotFound, type Guard, requestErrors } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { Access } from '../access/access.ts'
import type { GatewayConfig } from '../config.ts'
import { gatewayErrors } from '../errors.ts'
import type { Metrics } from '../metrics.ts'
import type { Presences } from '../presence/presences.ts'
import { type Bucket, fullBucket, RateLimiter, takeTokens } from '../rate-limit.ts'
import type { Connection } from '../sockets/connection.ts'

const TYPING = '{"op":"event","t":"typing.started",'
// Channels of which it is remembered who types there.
const CHANNELS_KEPT = 10_000

export type TypingOptions = {
  config: GatewayConfig
  bus: Bus
  guard: Guard
  messaging: Pick<MessagingPort, 'assertAccepted'>
  access: Access
  presences: Pick<Presences, 'isInvisible'>
  clock: Clock
  log: Logger
  metrics: Metrics
  now?: () => number
}

/**
 * Who is writing. Kept nowhere but here, for as long as it lasts; everybody who follows the channel hears of it, which
 * is also how gateways know what the others have told already. The first thing to be dropped when there is too much.
 */
export class Typing {
  readonly #channels = new Map<string, Map<string, number>>()
  readonly #rate: RateLimiter
  readonly #deliveries: Bucket
  readonly #now: () => number

  constructor(private readonly options: TypingOptions) {
    const { config } = options
    this.#now = options.now ?? (() => performance.now())
    this.#rate = new RateLimiter(config.socket.typing, config.maxBuckets, this.#now)
    this.#deliveries = fullBucket(this.#budget, this.#now())
  }

  /** @throws what a message there would be refused with: channel.notFound, access.forbidden …; request.tooMany (429) */
  async start(connection: Connection, channelId: string): Promise<void> {
    const { userId } = connection.identity!
    const allowance = this.#rate.take(userId)
    if (allowance && !allowance.allowed) throw requestErrors.tooMany({ retryAfter: allowance.retryAfter })
    await this.#assertMayWrite(connection, channelId)
    if (!this.#isNews(channelId, userId)) return
    // Only now, for this is asked of another service.
    if (connection.conversations.has(channelId)) await this.options.messaging.assertAccepted({ userId, channelId })
    // Asked last, for the answers may have taken their time.
    if (!connection.open || connection.expelled || this.options.presences.isInvisible(userId)) return
    if (this.#isNews(channelId, userId)) await this.#tell(channelId, userId)
  }

  /** The message is there: whoever writes on is typing anew. */
  wrote(channelId: string, userId: string): void {
    this.#channels.get(channelId)?.delete(userId)
  }

  /** Whether a frame is to go out to `receivers` connections: all but news of typing that are too many. */
  admit(stream: string, frame: string, receivers: () => number): boolean {
    if (!frame.startsWith(TYPING)) return true
    const channelId = streamChannel(stream)
    if (channelId !== undefined) this.#note(channelId, (JSON.parse(frame) as Told).d.userId)
    const count = receivers()
    if (count === 0 || takeTokens(this.#deliveries, this.#budget, this.#now(), count)) return true
    this.options.metrics.typingDropped.inc()
    return false
  }

  get #budget() {
    const perSecond = this.options.config.typing.deliveriesPerSecond
    return { perSecond, burst: perSecond }
  }

  async #assertMayWrite({ identity, conversations }: Connection, channelId: string): Promise<void> {
    const { guard, access } = this.options
    if (conversations.has(channelId)) {
      if (await guard.allowsParticipant(identity!, 'message.send')) return
    } else {
      if (!(await guard.allows(identity!, 'channel.view', channelId))) throw channelNotFound()
      const type = access.view.channel(channelId)?.type
      if (type !== undefined && type !== 'text') throw gatewayErrors.notATextChannel()
      if (await guard.allows(identity!, 'message.send', channelId)) return
    }
    throw accessErrors.forbidden('This needs the permission message.send.')
  }

  #isNews(channelId: string, userId: string): boolean {
    const { againMs, lastsMs, maxPerChannel } = this.options.config.typing
    const typing = this.#channels.get(channelId)
    if (!typing) return true
    const now = this.#now()
    for (const [one, since] of typing) {
      if (now - since < lastsMs) break
      typing.delete(one)
    }
    const since = typing.get(userId)
    return since === undefined ? typing.size < maxPerChannel : now - since >= againMs
  }

  #note(channelId: string, userId: string): void {
    const typing = this.#channels.get(channelId) ?? new Map<string, number>()
    // Insertion order is the order of time.
    typing.delete(userId)
    typing.set(userId, this.#now())
    this.#channels.delete(channelId)
    this.#channels.set(channelId, typing)
    if (this.#channels.size > CHANNELS_KEPT) this.#channels.delete(this.#channels.keys().next().value!)
  }

  async #tell(channelId: string, userId: string): Promise<void> {
    const { bus, clock, config, log } = this.options
    this.#note(channelId, userId)
    const now = clock.now()
    const expiresAt = new Date(now.getTime() + config.typing.lastsMs).toISOString()
    const stream = channelStream(channelId)
    const data = JSON.stringify({ channelId, userId, expiresAt } satisfies Told['d'])
    const frame = ephemeralFrame(stream, 'typing.started', now.toISOString(), data)
    try {
      await bus.publish(subjects.stream(stream), encodeNews(EPHEMERAL, frame))
    } catch (error) {
      log.debug({ err: error }, 'it could not be told who is typing')
    }
  }
}

type Told = { d: EventData['typing.started'] }
