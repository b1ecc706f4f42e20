import type { Bus } from '@conntext/bus'
import {
  EPHEMERAL,
  encodeNews,
  subjects,
  userStream,
  type VoiceEvent,
  type VoiceEventData,
  voiceFrame,
} from '@conntext/contracts'
import { type Clock, elapsedMs, type Logger } from '@conntext/kernel'
import type { Call } from '../calls/call.ts'
import type { Notices } from '../calls/notices.ts'
import type { Participant } from '../calls/participant.ts'
import type { Conversations } from '../conversations/conversations.ts'

export type RingsDeps = {
  bus: Bus
  conversations: Pick<Conversations, 'find'>
  notices: Notices
  clock: Clock
  log: Logger
}

/** How long somebody is called, and how often it is said: to who missed it, and to devices that came since. */
const RING_MS = 60_000
const AGAIN_EVERY_MS = 5_000

type Stopped = VoiceEventData['voice.ringingStopped']['reason']
/** It ends by time that passes; `expiresAt` is what that was by the clock when it began. */
type Ring = { call: Call; callerId: string; until: number; expiresAt: string; userIds: Set<string> }

/** Calls the others when a call begins in a conversation, on all their devices, until they answer, decline, or it is over. */
export class Rings {
  readonly #rings = new Map<string, Ring>()
  #timer: Timer | undefined

  constructor(private readonly deps: RingsDeps) {}

  start(): void {
    this.#timer = setInterval(() => this.again(), AGAIN_EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#rings.clear()
  }

  /** A call has begun with this participant; nothing where it isn't one of a conversation. */
  begin(call: Call, { userId }: Participant): void {
    this.#begin(call, userId).catch((error: unknown) =>
      this.deps.log.warn({ err: error, channelId: call.channelId }, 'whom to call is not known'),
    )
  }

  async #begin(call: Call, callerId: string): Promise<void> {
    const { channelId } = call
    const conversation = await this.deps.conversations.find(channelId)
    if (!conversation || call.closed) return
    const present = new Set([callerId, ...[...call.participants.values()].map(({ userId }) => userId)])
    const others = conversation.participants.map(({ userId }) => userId).filter((id) => !present.has(id))
    if (others.length === 0) return
    const { clock } = this.deps
    const expiresAt = new Date(clock.now().getTime() + RING_MS).toISOString()
    const ring = { call, callerId, until: elapsedMs(clock) + RING_MS, expiresAt, userIds: new Set(others) }
    this.#rings.set(channelId, ring)
    this.#say(ring)
  }

  /** They are called no more. */
  settle(channelId: string, userId: string, reason: Stopped): void {
    const ring = this.#rings.get(channelId)
    if (ring?.userIds.has(userId)) this.#stop(ring, userId, reason)
  }

  ended(call: Call): void {
    const ring = this.#rings.get(call.channelId)
    if (ring?.call === call) this.#stopAll(ring, 'ended')
  }

  /** Says it again to those who are still called; gives up where nobody answers. */
  again(): void {
    for (const ring of [...this.#rings.values()]) {
      if (ring.until <= elapsedMs(this.deps.clock)) this.#stopAll(ring, 'expired')
      else this.#say(ring)
    }
  }

  /** Whoever doesn't take part in the conversation any more is called no more. */
  recheck(channelId: string): void {
    this.#recheck(channelId).catch((error: unknown) =>
      this.deps.log.warn({ err: error, channelId }, 'whom to go on calling is not known'),
    )
  }

  async #recheck(channelId: string): Promise<void> {
    const ring = this.#rings.get(channelId)
    if (!ring) return
    const conversation = await this.deps.conversations.find(channelId)
    const present = new Set(conversation?.participants.map(({ userId }) => userId))
    for (const userId of [...ring.userIds]) if (!present.has(userId)) this.#stop(ring, userId, 'ended')
  }

  #say({ call, callerId, expiresAt, userIds }: Ring): void {
    const { channelId, id: callId } = call
    for (const userId of userIds)
      this.#tell(userId, 'voice.ringing', { channelId, callId, userId: callerId, expiresAt })
  }

  #stopAll(ring: Ring, reason: Stopped): void {
    for (const userId of [...ring.userIds]) this.#stop(ring, userId, reason)
  }

  /** Told to all their devices, and to who is in the call. */
  #stop(ring: Ring, userId: string, reason: Stopped): void {
    const { call, userIds } = ring
    userIds.delete(userId)
    if (userIds.size === 0 && this.#rings.get(call.channelId) === ring) this.#rings.delete(call.channelId)
    const stopped = { channelId: call.channelId, callId: call.id, userId, reason }
    this.#tell(userId, 'voice.ringingStopped', stopped)
    const others = [...call.participants.values()].filter((one) => one.userId !== userId)
    this.deps.notices.tell(others, 'voice.ringingStopped', stopped)
  }

  #tell<E extends VoiceEvent>(userId: string, event: E, data: VoiceEventData[E]): void {
    const stream = userStream(userId)
    const frame = voiceFrame(stream, event, this.deps.clock.now().toISOString(), data)
    this.deps.bus
      .publish(subjects.stream(stream), encodeNews(EPHEMERAL, frame))
      .catch((error: unknown) => this.deps.log.debug({ err: error, event }, 'somebody could not be called'))
  }
}
