import {
  MAX_CALL_PRODUCERS,
  type VoiceKind,
  type VoiceProducer,
  type VoiceSource,
  type voiceOperations,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import type { Static } from '@sinclair/typebox'
import type { Producer } from 'mediasoup/types'
import { CallQuality } from '../figures/quality.ts'
import type { Engine, Seat } from '../media/engine.ts'
import { Room } from '../media/room.ts'
import { voiceErrors } from './errors.ts'
import { Media } from './media.ts'
import type { Participant } from './participant.ts'
import { Watched } from './watched.ts'

export type CallLimits = {
  /** How many may be in one call. */
  participants: number
  /** How many consumers a worker should have before a call goes on at another one. */
  consumersPerWorker: number
  /** After how long without anybody who receives a picture its sender is told, in milliseconds. */
  unwatchedAfterMs: number
}

export type CallHooks = {
  producerWatched(call: Call, to: Participant, producer: { id: string; watched: boolean }): void
  producerRemoved(call: Call, producer: { id: string; userId: string }): void
  heard(call: Call, speakers: { userId: string; level: number }[]): void
}

type Sent = { participant: Participant; producer: Producer; source: VoiceSource; room: Room }

/** The call of one channel: who is in it, and the rooms on the workers where their media meets. */
export class Call {
  readonly id = newId()
  readonly participants = new Map<string, Participant>()
  /** By moderators, while the call lasts: by account, so that leaving is no way out. */
  readonly muted = new Set<string>()
  readonly deafened = new Set<string>()
  readonly sent = new Map<string, Sent>()
  readonly quality = new CallQuality()
  readonly #watched: Watched
  /** Those who are about to join: the call doesn't end under them. */
  joining = 0
  closed = false
  /** How many were in it at once, at most. */
  peak = 0
  #rooms: Room[] = []
  #opening: Promise<Room> | undefined

  constructor(
    readonly channelId: string,
    readonly startedAt: Date,
    private readonly deps: { engine: Engine; limits: CallLimits; hooks: CallHooks },
  ) {
    const { limits, hooks } = deps
    this.#watched = new Watched(limits.unwatchedAfterMs, {
      tell: (id, watched) => {
        const sent = this.sent.get(id)
        if (sent) hooks.producerWatched(this, sent.participant, { id, watched })
      },
    })
  }

  /** `userLimit`: the channel's own, if it has one. */
  isFull(userLimit: number | null): boolean {
    return this.participants.size >= Math.min(this.deps.limits.participants, userLimit ?? Number.POSITIVE_INFINITY)
  }

  /** @throws voice.tooManyStreams (409), voice.videoFull (409) for who shows nothing yet and would be one too many */
  assertRoomFor({ userId }: Participant, kind: VoiceKind, videoLimit: number | null): void {
    if (this.sent.size >= MAX_CALL_PRODUCERS) throw voiceErrors.tooManyStreams()
    if (kind === 'audio' || videoLimit === null) return
    const showing = [...this.sent.values()].filter(({ producer }) => producer.kind === 'video')
    const userIds = new Set(showing.map(({ participant }) => participant.userId))
    if (!userIds.has(userId) && userIds.size >= videoLimit) throw voiceErrors.videoFull()
  }

  get isEmpty(): boolean {
    return this.participants.size === 0 && this.joining === 0
  }

  /** What may be known of it outside; null until somebody is in it. */
  get told(): Static<(typeof voiceOperations)['voiceCall']['response']>['call'] {
    if (this.participants.size === 0) return null
    const states = [...this.participants.values()].map(({ state }) => state)
    return { id: this.id, startedAt: this.startedAt.toISOString(), states }
  }

  get rooms(): readonly Room[] {
    return this.#rooms
  }

  /**
   * A room for one more: one that is there, unless its worker has enough to do and another one is free.
   * @throws voice.away (503)
   */
  async room(): Promise<Room> {
    const { engine, limits } = this.deps
    const rooms = this.#rooms.filter(({ router }) => !router.closed)
    const [best] = rooms.toSorted((one, other) => one.seat.consumers - other.seat.consumers)
    if (best && best.seat.consumers < limits.consumersPerWorker) return best
    if (this.#opening) return this.#opening
    const seat = engine.leastBusy((taken) => rooms.some((room) => room.seat === taken))
    if (best && (!seat || seat.consumers >= best.seat.consumers)) return best
    if (!seat) throw voiceErrors.away({ retryAfter: 1 })
    this.#opening = this.#open(seat).finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(seat: Seat): Promise<Room> {
    try {
      const room = await Room.open(seat, () => this.#tellHeard())
      if (this.closed) room.close()
      else this.#rooms.push(room)
      return room
    } catch (cause) {
      throw voiceErrors.away({ retryAfter: 1, cause })
    }
  }

  /** Forgets the rooms of a worker that is gone; answers who was there. */
  lose(seat: Seat): Participant[] {
    this.#rooms = this.#rooms.filter((room) => room.seat !== seat)
    return [...this.participants.values()].filter(({ media }) => media?.room.seat === seat)
  }

  mediaOn(room: Room): Media {
    return new Media(room, {
      producerClosed: (producerId) => {
        const sent = this.sent.get(producerId)
        if (!sent) return
        this.sent.delete(producerId)
        this.#watched.end(producerId)
        this.deps.hooks.producerRemoved(this, { id: producerId, userId: sent.participant.userId })
      },
      received: (producerId, by) => this.#watched.count(producerId, by),
    })
  }

  /** What of a participant's they were told that nobody receives, which they may not know any more, is told again. */
  restateWatched(participant: Participant): void {
    for (const id of participant.media?.outgoing.keys() ?? []) {
      if (this.#watched.isUnwatched(id)) this.deps.hooks.producerWatched(this, participant, { id, watched: false })
    }
  }

  /** Lets the others have what somebody sends. */
  async offer(participant: Participant, producer: Producer, source: VoiceSource): Promise<void> {
    const room = participant.media?.room
    if (!room || producer.closed) return
    this.sent.set(producer.id, { participant, producer, source, room })
    // Sound costs little, and its beginning must not be missed.
    if (producer.kind === 'video') this.#watched.begin(producer.id)
    if (source !== 'microphone') return
    // Whatever becomes of it, the stream itself is there.
    await room.listenTo(producer).catch(() => {})
  }

  /** @throws voice.noSuchProducer (404) */
  async bring(producerId: string, to: Room): Promise<void> {
    const sent = this.sent.get(producerId)
    if (!sent) throw voiceErrors.noSuchProducer()
    if (sent.room === to) return
    try {
      await to.pipe(sent.room, sent.producer)
    } catch (cause) {
      if (sent.producer.closed) throw voiceErrors.noSuchProducer()
      throw voiceErrors.away({ retryAfter: 1, cause })
    }
  }

  producers(): VoiceProducer[] {
    return [...this.sent.values()].map(toProducer)
  }

  producer(producerId: string): VoiceProducer | undefined {
    const sent = this.sent.get(producerId)
    return sent && toProducer(sent)
  }

  close(): void {
    this.#watched.stop()
    this.closed = true
    for (const room of this.#rooms) room.close()
    this.#rooms = []
  }

  #tellHeard(): void {
    const speakers = this.#rooms
      .flatMap(({ heard }) => heard)
      .flatMap(({ producerId, level }) => {
        const sent = this.sent.get(producerId)
        return sent ? [{ userId: sent.participant.userId, level: Math.min(0, Math.max(-127, level)) }] : []
      })
    this.deps.hooks.heard(this, speakers.slice(0, 16))
  }
}

const toProducer = ({ participant, producer, source }: Sent): VoiceProducer => ({
  ...{ id: producer.id, userId: participant.userId, kind: producer.kind, source, paused: producer.paused },
})
