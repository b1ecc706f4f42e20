import type { Emitter } from '../gateway/emitter.ts'
import type { StreamEvent } from '../gateway/frames.ts'
import type { VoiceEvents } from './events.ts'
import type { Speaker, VoiceProducer } from './frames.ts'
import { OwnSubscription, type SubscribeOptions } from './subscription.ts'

export type ReceptionDeps = {
  emitter: Emitter<VoiceEvents>
  userId(): string | undefined
  isWanted(producer: VoiceProducer): boolean
  /** Something is to be received other than it is. */
  changed(): void
}

/** What the others send into the call that one is in, and what of it one receives. */
export class Reception {
  readonly producers = new Map<string, VoiceProducer>()
  readonly #subscriptions = new Map<string, OwnSubscription>()
  speakers: readonly Speaker[] = []

  constructor(private readonly deps: ReceptionDeps) {}

  all(): OwnSubscription[] {
    return [...this.#subscriptions.values()]
  }

  /** @throws Error for what nobody sends */
  open(producerId: string, options: SubscribeOptions): OwnSubscription {
    const producer = this.producers.get(producerId)
    if (!producer) throw new Error('nobody sends that into the call that one is in')
    const subscription = this.#subscriptions.get(producerId) ?? new OwnSubscription(producer, this.#owner)
    this.#subscriptions.set(producerId, subscription)
    subscription.open(options)
    return subscription
  }

  hear({ t, d }: StreamEvent): void {
    if (t === 'voice.producerAdded' || t === 'voice.producerUpdated') this.#put(d.producer)
    else if (t === 'voice.activeSpeakers') {
      this.speakers = d.speakers
      this.deps.emitter.emit('speakers', d.speakers)
    }
  }

  remove(producerId: string): void {
    const producer = this.producers.get(producerId)
    if (!producer) return
    this.producers.delete(producerId)
    const subscription = this.#subscriptions.get(producerId)
    if (subscription) this.fail(subscription)
    this.deps.emitter.emit('producerRemoved', producer)
  }

  /** Ends a subscription; with an error where it could not be had. */
  fail(subscription: OwnSubscription, error?: Error): void {
    this.#subscriptions.delete(subscription.producer.id)
    const wasActive = subscription.isActive
    subscription.end(error)
    if (wasActive) this.deps.emitter.emit('subscriptionEnded', { subscription, ...(error ? { error } : {}) })
  }

  /** How it is by the server's account, after something may have been missed. */
  restate(producers: VoiceProducer[], consumerIds: ReadonlySet<string>): void {
    const there = new Set(producers.map(({ id }) => id))
    for (const id of [...this.producers.keys()]) if (!there.has(id)) this.remove(id)
    for (const one of this.#subscriptions.values()) {
      if (one.consumerId !== undefined && !consumerIds.has(one.consumerId)) one.lost()
      one.forget()
    }
    for (const producer of producers) this.#put(producer)
  }

  clear(): void {
    this.speakers = []
    for (const id of [...this.producers.keys()]) this.remove(id)
  }

  readonly #owner = {
    changed: () => this.deps.changed(),
    received: (subscription: OwnSubscription, track: MediaStreamTrack) => {
      this.deps.emitter.emit('track', { subscription, track })
    },
  }

  #put(producer: VoiceProducer): void {
    if (producer.userId === this.deps.userId()) return
    const before = this.producers.get(producer.id)
    this.producers.set(producer.id, producer)
    const subscription = this.#subscriptions.get(producer.id)
    if (subscription) subscription.producer = producer
    if (!before) {
      this.deps.emitter.emit('producerAdded', producer)
      // A listener may have asked for it.
      if (this.deps.isWanted(producer) && !this.#subscriptions.has(producer.id)) this.open(producer.id, {})
    } else if (before.paused !== producer.paused) this.deps.emitter.emit('producerUpdated', producer)
  }
}
