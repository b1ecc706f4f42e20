import type { Bus, Unsubscribe } from '@conntext/bus'
import { decodeNews, EPHEMERAL, streamChannel, subjects } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Metrics } from '../metrics.ts'
import { type Gate, openGate, Sequencer } from './sequencer.ts'
import type { StreamSource } from './source.ts'

// A channel that has just been made is followed from its first event; one with more behind it is not new any more.
const NEW_STREAM_EVENTS = 100
// Ephemeral events that wait for the gate; more are dropped.
const MAX_PASSING = 1_000

export type HubOptions = {
  config: GatewayConfig['streams']
  bus: Bus
  source: StreamSource
  log: Logger
  metrics: Metrics
  /** Holds the channels' events back while it is being found out who may see them. */
  gate: Gate
  deliver(stream: string, frame: string): void
  reset(stream: string, seq: number): void
  /** Whether anybody here still follows the stream. */
  needed(stream: string): boolean
}

type Held = { sequencer: Sequencer; ready: Promise<void>; live: boolean; neededAt: number; unsubscribe?: Unsubscribe }

/** The streams that this gateway follows: opened when somebody needs them, compared with their owners, let go again. */
export class StreamHub {
  readonly #held = new Map<string, Held>()
  readonly #passing: { stream: string; frame: string }[] = []
  #timer: Timer | undefined
  #reconciling: Promise<void> | undefined
  /** How often the bus was interrupted: what was asked before that says nothing about after it. */
  #gaps = 0
  #endOnGap: Unsubscribe | undefined

  constructor(private readonly options: HubOptions) {}

  start(): void {
    const { bus, config } = this.options
    this.#endOnGap = bus.onGap(() => this.#afterGap())
    this.#timer = setInterval(() => {
      this.#letGo()
      void this.reconcile()
    }, config.reconcileMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#endOnGap?.()
    await Promise.all([...this.#held.keys()].map((stream) => this.#close(stream)))
  }

  /** A stream that is followed and has its head; undefined for any other. */
  get(stream: string): Sequencer | undefined {
    const held = this.#held.get(stream)
    return held?.live ? held.sequencer : undefined
  }

  get size(): number {
    return this.#held.size
  }

  /**
   * Resolves when all the streams are followed. Those in `brandNew` begin at their first event, so that nothing of
   * them is missed between their making and now. Fails when an owner is away; nothing half-open stays behind.
   */
  async open(streams: Iterable<string>, brandNew?: ReadonlySet<string>): Promise<void> {
    const now = performance.now()
    const opening: string[] = []
    const waiting: Promise<void>[] = []
    for (const stream of streams) {
      const held = this.#held.get(stream)
      if (!held) opening.push(stream)
      else {
        held.neededAt = now
        if (!held.live) waiting.push(held.ready)
      }
    }
    if (opening.length > 0) waiting.push(this.#begin(opening, now, brandNew))
    if (waiting.length > 0) await Promise.all(waiting)
  }

  /** Delivers what waited for the gate. */
  flush(): void {
    for (const { sequencer } of this.#held.values()) sequencer.flush()
    for (const { stream, frame } of this.#passing.splice(0)) this.#pass(stream, frame)
  }

  /** Ephemeral, hence in no order with the rest; but to nobody while it is not known who may see it. */
  #pass(stream: string, frame: string): void {
    const { gate, deliver } = this.options
    if (streamChannel(stream) === undefined || !gate.closed) deliver(stream, frame)
    else if (this.#passing.length < MAX_PASSING) this.#passing.push({ stream, frame })
  }

  /** Compares every stream with its owner's head, so that an event whose publication was lost is found. */
  reconcile(): Promise<void> {
    this.#reconciling ??= this.#compare()
    return this.#reconciling
  }

  #afterGap(): void {
    this.#gaps += 1
    void this.reconcile()
  }

  async #compare(): Promise<void> {
    for (let gaps = -1; gaps !== this.#gaps; ) {
      gaps = this.#gaps
      await this.#compareAll().catch((error) =>
        this.options.log.warn({ err: error }, 'streams could not be compared with their owners'),
      )
    }
    this.#reconciling = undefined
  }

  async #compareAll(): Promise<void> {
    const before = new Map<string, number>()
    for (const [stream, held] of this.#held) if (held.live) before.set(stream, held.sequencer.head)
    if (before.size === 0) return
    const heads = await this.options.source.heads([...before.keys()])
    for (const [stream, stood] of before) this.get(stream)?.expect(heads.get(stream) ?? 0, stood)
  }

  #begin(streams: string[], now: number, brandNew?: ReadonlySet<string>): Promise<void> {
    const opened = streams.map((stream) => this.#newHeld(stream, now))
    const ready = this.#initialise(streams, opened, brandNew).catch(async (error) => {
      await Promise.all(streams.map((stream) => this.#close(stream)))
      throw error
    })
    // Whoever waits hears of a failure; if nobody does, it is no unhandled one.
    ready.catch(() => {})
    streams.forEach((stream, index) => {
      const held = opened[index]!
      held.ready = ready
      this.#held.set(stream, held)
    })
    this.options.metrics.streams.set(this.#held.size)
    return ready
  }

  async #initialise(streams: string[], opened: Held[], brandNew?: ReadonlySet<string>): Promise<void> {
    const { bus, source } = this.options
    const gaps = this.#gaps
    // Listening comes first: what happens between that and the answer is on the bus, what happened before in the head.
    await Promise.all(
      streams.map(async (stream, index) => {
        const { sequencer } = opened[index]!
        opened[index]!.unsubscribe = await bus.subscribe(subjects.stream(stream), (payload) => {
          const { seq, frame } = decodeNews(payload)
          if (seq === EPHEMERAL) this.#pass(stream, frame)
          else if (Number.isSafeInteger(seq)) sequencer.receive(seq, frame)
        })
      }),
    )
    const heads = await source.heads(streams)
    streams.forEach((stream, index) => {
      const head = heads.get(stream) ?? 0
      const fromStart = brandNew?.has(stream) && head <= NEW_STREAM_EVENTS
      opened[index]!.live = true
      opened[index]!.sequencer.start(fromStart ? 0 : head, head)
    })
    if (gaps !== this.#gaps) this.#afterGap()
  }

  #newHeld(stream: string, now: number): Held {
    const { config, gate, source, log, metrics, deliver, reset } = this.options
    const sequencer = new Sequencer({
      stream,
      // Who sees the server's stream, or their own, does not depend on roles.
      gate: streamChannel(stream) === undefined ? openGate : gate,
      source,
      log,
      ringFrames: config.ringFrames,
      gapWaitMs: config.gapWaitMs,
      deliver: (frame) => deliver(stream, frame),
      reset: (seq) => reset(stream, seq),
      repaired: () => metrics.gapRepairs.inc(),
    })
    return { sequencer, ready: Promise.resolve(), live: false, neededAt: now }
  }

  #letGo(): void {
    const { config, needed } = this.options
    const now = performance.now()
    for (const [stream, held] of this.#held) {
      held.sequencer.ring.forgetBefore(now - config.ringAgeMs)
      if (needed(stream)) held.neededAt = now
      else if (held.live && now - held.neededAt > config.lingerMs) {
        this.#close(stream).catch((error) => this.options.log.warn({ err: error, stream }, 'a stream was not let go'))
      }
    }
  }

  async #close(stream: string): Promise<void> {
    const held = this.#held.get(stream)
    if (!held) return
    this.#held.delete(stream)
    this.options.metrics.streams.set(this.#held.size)
    held.sequencer.close()
    await held.unsubscribe?.()
  }
}
