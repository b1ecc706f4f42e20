import type { Producer } from 'mediasoup-client/types'
import { type Deferred, deferred } from '../gateway/deferred.ts'
import { ProblemError } from '../problem.ts'
import { type PublishOptions, sendingOf } from './encodings.ts'
import type { PublicationEnding } from './events.ts'
import { faultOf } from './faults.ts'
import type { VoiceSource } from './frames.ts'
import type { Line } from './line.ts'
import type { Media, MediaDeps } from './media.ts'

/** Something that one sends. It is sent anew after whatever has interrupted it, as long as one is in a call. */
export interface Publication {
  readonly source: VoiceSource
  readonly track: MediaStreamTrack
  readonly muted: boolean
  /** Its id for the others; another one after an interruption, undefined while it isn't sent. */
  readonly producerId: string | undefined
  readonly ended: boolean
  /** Nothing is sent from now on; the others are told as soon as may be. */
  mute(): void
  unmute(): void
  /** Sends another track of the same kind in its place. The one before isn't stopped. */
  replaceTrack(track: MediaStreamTrack): Promise<void>
  /** The largest size that is sent at all, from 0: to spare the network or the processor. */
  setMaxSpatialLayer(layer: number): Promise<void>
  /** As the browser measures it; undefined while it isn't sent. */
  getStats(): Promise<RTCStatsReport | undefined>
  /** Ends it. The track isn't stopped: it is the application's. */
  close(): void
}

export type PublicationOwner = {
  /** Something has changed that the server is to be told. */
  changed(): void
  ended(publication: OwnPublication, reason: PublicationEnding, error?: Error): void
}

export class OwnPublication implements Publication {
  readonly #live: Deferred<Publication> = deferred()
  #producer: Producer | undefined
  #saidPaused: boolean | undefined
  #maxSpatialLayer: number | undefined
  /** By anybody at all: what nobody receives isn't sent, and neither the application nor the others are told. */
  #watched = true
  #track: MediaStreamTrack
  #muted: boolean
  #ended = false

  constructor(
    track: MediaStreamTrack,
    private readonly options: PublishOptions,
    private readonly owner: PublicationOwner,
  ) {
    this.#track = track
    this.#muted = options.muted ?? false
    this.#live.promise.catch(() => {})
  }

  /** Resolves when it is sent for the first time. */
  get live(): Promise<Publication> {
    return this.#live.promise
  }

  get source(): VoiceSource {
    return this.options.source
  }

  get track(): MediaStreamTrack {
    return this.#track
  }

  get muted(): boolean {
    return this.#muted
  }

  get ended(): boolean {
    return this.#ended
  }

  /** It has ended, and the server has nothing of it. */
  get isGone(): boolean {
    return this.#ended && this.#producer === undefined
  }

  get producerId(): string | undefined {
    return this.#producer?.closed === false ? this.#producer.id : undefined
  }

  mute(): void {
    this.#setMuted(true)
  }

  unmute(): void {
    this.#setMuted(false)
  }

  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    if (track.kind !== this.#track.kind) throw new TypeError(`it sends ${this.#track.kind}, not ${track.kind}`)
    this.#track = track
    if (this.#producer?.closed === false) await this.#producer.replaceTrack({ track })
  }

  async setMaxSpatialLayer(layer: number): Promise<void> {
    this.#maxSpatialLayer = layer
    if (this.#producer?.closed === false) await this.#producer.setMaxSpatialLayer(layer)
  }

  async getStats(): Promise<RTCStatsReport | undefined> {
    return this.producerId === undefined ? undefined : this.#producer?.getStats()
  }

  close(): void {
    this.end('unpublished')
  }

  end(reason: PublicationEnding, error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#producer?.close()
    this.#live.reject(error ?? new Error(`it isn't sent: ${reason}`))
    this.owner.ended(this, reason, error)
    this.owner.changed()
  }

  /** The server doesn't have it any more: it is sent anew. */
  lost(): void {
    this.#producer?.close()
    this.#producer = undefined
    this.#watched = true
  }

  /** Of what the server is told again, or tells again, nothing is taken for known. */
  forget(): void {
    this.#saidPaused = undefined
    this.watch(true)
  }

  /** Whether anybody receives it. */
  watch(watched: boolean): void {
    this.#watched = watched
    this.#flow()
  }

  /** Makes what the server has of it what it should be. One at a time. */
  async settle(media: Media, { line, device }: Pick<MediaDeps, 'line' | 'device'>): Promise<void> {
    if (!this.#ended && this.producerId === undefined) await this.#send(media, device)
    const producer = this.#producer
    if (this.#ended) {
      if (producer) await closeProducer(line, producer.id)
      this.#producer = undefined
    } else if (producer && this.#saidPaused !== this.#muted) await this.#say(producer, line)
  }

  async #send(media: Media, device: MediaDeps['device']): Promise<void> {
    const carrier = await media.sender()
    const track = this.#track
    const paused = this.#muted
    const producer = await carrier.transport
      .produce({
        ...sendingOf(device(), track, this.options),
        track,
        stopTracks: false,
        // The track is the application's: it may be in use for something else.
        disableTrackOnPause: false,
        zeroRtpOnPause: true,
        appData: { source: this.source, paused },
      })
      .catch((error: Error) => {
        throw carrier.why(error)
      })
    this.#producer = producer
    this.#saidPaused = paused
    producer.on('trackended', () => this.end('trackEnded'))
    if (this.#ended) return producer.close()
    this.#flow()
    if (this.#track !== track) await producer.replaceTrack({ track: this.#track })
    if (this.#maxSpatialLayer !== undefined) await producer.setMaxSpatialLayer(this.#maxSpatialLayer)
    this.#live.resolve(this)
  }

  #setMuted(muted: boolean): void {
    this.#muted = muted
    this.#flow()
    this.owner.changed()
  }

  #flow(): void {
    const producer = this.#producer
    const still = this.#muted || !this.#watched
    if (!producer || producer.closed || producer.paused === still) return
    if (still) producer.pause()
    else producer.resume()
  }

  async #say(producer: Producer, line: Line): Promise<void> {
    const muted = this.#muted
    this.#saidPaused = undefined
    try {
      await line(muted ? 'voice.pause' : 'voice.resume', { producerId: producer.id })
      this.#saidPaused = muted
    } catch (error) {
      if (!(error instanceof ProblemError) || error.code !== 'voice.noSuchProducer') throw error
      this.lost()
      this.owner.changed()
    }
  }
}

/** Has the server send something of one's own to nobody any more. @throws what may go well another time */
export async function closeProducer(line: Line, producerId: string): Promise<void> {
  try {
    await line('voice.closeProducer', { producerId })
  } catch (error) {
    // It doesn't have it.
    if (faultOf(error) !== 'final') throw error
  }
}
