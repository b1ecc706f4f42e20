import type { RtpCapabilities, VoiceState } from '@conntext/contracts'
import type { Caller } from '@conntext/http'
import { newId } from '@conntext/kernel'
import type { Call } from './call.ts'
import type { Media, Outgoing } from './media.ts'
import { Serial } from './serial.ts'

/** Where a participant's client is connected. */
export type Place = { gatewayId: string; connectionId: string }

/** Somebody in a call, from one connection. Changes go through `serial`, but for the end, which comes at any time. */
export class Participant {
  readonly id = newId()
  readonly serial = new Serial()
  /** Undefined while it has none: its worker has died, and the client hasn't come back yet. */
  media: Media | undefined
  rtpCapabilities: RtpCapabilities
  place: Place
  selfDeafened: boolean
  suppressed = false
  over = false
  /** What it was used for, so far. */
  readonly used = { spoke: false, camera: false, screen: false }
  /** Bits per second of a microphone here; null: as much as there is. */
  audioBitrate: number | null = null
  /** The number of the last notice. */
  number = 0
  /** `number` when its gateway was last heard of. */
  numberAtLease = 0
  leaseUntil = 0
  /** Since when it has no connection, or no media though it should; milliseconds. */
  awaySince: number | undefined
  /** Since when its gateway has said nothing of it. */
  silentSince: number | undefined

  constructor(
    readonly call: Call,
    readonly caller: Caller,
    readonly joinedAt: Date,
    given: { place: Place; rtpCapabilities: RtpCapabilities; selfDeafened: boolean },
  ) {
    this.place = given.place
    this.rtpCapabilities = given.rtpCapabilities
    this.selfDeafened = given.selfDeafened
  }

  get userId(): string {
    return this.caller.userId
  }

  get state(): VoiceState {
    const { userId, call } = this
    const sources = [...(this.media?.outgoing.values() ?? [])]
    const microphone = sources.find(({ source }) => source === 'microphone')
    return {
      userId,
      channelId: call.channelId,
      joinedAt: this.joinedAt.toISOString(),
      selfMuted: microphone === undefined || microphone.selfPaused,
      selfDeafened: this.selfDeafened,
      muted: call.muted.has(userId),
      deafened: call.deafened.has(userId),
      suppressed: this.suppressed,
      camera: sources.some(({ source }) => source === 'camera'),
      screen: sources.some(({ source }) => source === 'screen'),
    }
  }

  /** Whether something that is sent is kept from the others, whatever its owner wants. */
  holds({ source }: Pick<Outgoing, 'source'>): boolean {
    if (source === 'microphone') return this.suppressed || this.call.muted.has(this.userId)
    // Else a screen's sound would be another microphone.
    return source === 'screenAudio' && this.call.muted.has(this.userId)
  }

  /** Makes the media what it should be: pauses and resumes what differs. Through `serial`. */
  async settle(): Promise<void> {
    const { media, call, userId } = this
    if (!media) return
    await media.capAudio(this.audioBitrate)
    const deaf = this.selfDeafened || call.deafened.has(userId)
    for (const one of [...media.outgoing.values()]) {
      await pauseOrResume(one.producer, one.selfPaused || this.holds(one))
    }
    for (const one of [...media.incoming.values()]) {
      await pauseOrResume(one.consumer, one.selfPaused || (deaf && one.consumer.kind === 'audio'))
      media.recount(one)
    }
  }
}

async function pauseOrResume(
  stream: { paused: boolean; closed: boolean; pause(): Promise<void>; resume(): Promise<void> },
  paused: boolean,
): Promise<void> {
  if (stream.closed || stream.paused === paused) return
  try {
    await (paused ? stream.pause() : stream.resume())
  } catch (error) {
    // It was closed meanwhile, which is as good.
    if (!stream.closed) throw error
  }
}
