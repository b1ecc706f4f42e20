import type { Consumer, ConsumerOptions } from 'mediasoup-client/types'
import { type Deferred, deferred } from '../gateway/deferred.ts'
import { ProblemError } from '../problem.ts'
import type { VoiceProducer, VoiceSource } from './frames.ts'
import type { Line } from './line.ts'
import type { Media } from './media.ts'

/** Which of the sizes and rates that are sent is wanted at most; the nearest that there is comes. */
export type Layers = { spatialLayer: number; temporalLayer?: number }
export type SubscribeOptions = { paused?: boolean; layers?: Layers }

/** Something that one receives, for as long as it is sent and one is in the call. */
export interface Subscription {
  readonly producer: VoiceProducer
  readonly userId: string
  readonly source: VoiceSource
  /** Undefined until it is there; another one after some interruptions, which the event `track` tells. */
  readonly track: MediaStreamTrack | undefined
  readonly paused: boolean
  readonly ended: boolean
  /** Nothing comes until `resume`. */
  pause(): void
  resume(): void
  /** By what is shown of it: a small picture needs no large one. */
  setPreferredLayers(layers: Layers): void
  /** As the browser measures it; undefined while nothing is received. */
  getStats(): Promise<RTCStatsReport | undefined>
  /** Nothing comes any more. Subscribing again is quick, while it is sent. */
  close(): void
}

export type SubscriptionOwner = {
  changed(): void
  received(subscription: OwnSubscription, track: MediaStreamTrack): void
}

export class OwnSubscription implements Subscription {
  producer: VoiceProducer
  #live: Deferred<Subscription> = deferred()
  #consumer: Consumer | undefined
  #saidPaused: boolean | undefined
  #layers: Layers | undefined
  #saidLayers: Layers | undefined
  #paused = false
  #active = false
  #ended = false

  constructor(
    producer: VoiceProducer,
    private readonly owner: SubscriptionOwner,
  ) {
    this.producer = producer
    this.#live.promise.catch(() => {})
  }

  /** Resolves when its track is there. */
  get live(): Promise<Subscription> {
    return this.#live.promise
  }

  get userId(): string {
    return this.producer.userId
  }

  get source(): VoiceSource {
    return this.producer.source
  }

  get track(): MediaStreamTrack | undefined {
    return this.#consumer?.closed === false ? this.#consumer.track : undefined
  }

  get consumerId(): string | undefined {
    return this.#consumer?.closed === false ? this.#consumer.id : undefined
  }

  get paused(): boolean {
    return this.#paused
  }

  get ended(): boolean {
    return this.#ended
  }

  get isActive(): boolean {
    return this.#active && !this.#ended
  }

  open({ paused = false, layers }: SubscribeOptions): void {
    this.#active = true
    this.#paused = paused
    if (layers) this.#layers = layers
    this.owner.changed()
  }

  pause(): void {
    this.#paused = true
    this.owner.changed()
  }

  resume(): void {
    this.#paused = false
    this.owner.changed()
  }

  setPreferredLayers(layers: Layers): void {
    this.#layers = { ...layers }
    this.owner.changed()
  }

  async getStats(): Promise<RTCStatsReport | undefined> {
    return this.consumerId === undefined ? undefined : this.#consumer?.getStats()
  }

  close(): void {
    this.#active = false
    this.owner.changed()
  }

  end(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#consumer?.close()
    this.#live.reject(error ?? new Error('it is not sent any more'))
  }

  /** The server doesn't have it any more: it is received anew. */
  lost(): void {
    this.#consumer?.close()
    this.#consumer = undefined
  }

  forget(): void {
    this.#saidPaused = undefined
    this.#saidLayers = undefined
  }

  /** Makes what the server has of it what it should be. One at a time. */
  async settle(media: Media, line: Line): Promise<void> {
    if (this.isActive && this.consumerId === undefined) await this.#receive(media, line)
    const consumerId = this.consumerId
    if (this.#ended || consumerId === undefined) return
    try {
      await this.#sayLayers(consumerId, line)
      await this.#sayPaused(consumerId, line)
    } catch (error) {
      // Mostly its sender has just ended it, which is about to be told. If not, it is received anew.
      if (!(error instanceof ProblemError) || error.code !== 'voice.noSuchConsumer') throw error
      this.lost()
      this.owner.changed()
    }
  }

  async #receive(media: Media, line: Line): Promise<void> {
    const carrier = await media.receiver()
    const { paused: _, ...answer } = await line('voice.consume', {
      transportId: carrier.id,
      producerId: this.producer.id,
    })
    // What belongs together is played in step: a person's voice and face, a screen and its sound.
    const streamId = `${this.userId}-${this.source.startsWith('screen') ? 'screen' : 'person'}`
    const consumer = await carrier.transport
      .consume({ ...(answer as ConsumerOptions), streamId })
      .catch((error: Error) => {
        throw carrier.why(error)
      })
    if (this.#ended) return consumer.close()
    this.#consumer = consumer
    this.#saidPaused = true
    this.#saidLayers = undefined
    this.owner.received(this, consumer.track)
    this.#live.resolve(this)
  }

  async #sayPaused(consumerId: string, line: Line): Promise<void> {
    const paused = this.#paused || !this.#active
    if (this.#saidPaused === paused) return
    this.#saidPaused = undefined
    await (paused ? line('voice.pause', { consumerId }) : line('voice.resumeConsumer', { consumerId }))
    this.#saidPaused = paused
  }

  async #sayLayers(consumerId: string, line: Line): Promise<void> {
    const layers = this.#layers
    if (!layers || this.producer.kind !== 'video' || this.#saidLayers === layers) return
    await line('voice.setPreferredLayers', { consumerId, ...layers })
    this.#saidLayers = layers
  }
}
