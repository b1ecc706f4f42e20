import type { Logger } from '@conntext/kernel'
import type { Consumer, Producer } from 'mediasoup/types'
import type { Call } from '../calls/call.ts'
import type { Calls } from '../calls/calls.ts'
import type { Sample, StreamOf } from './quality.ts'
import { within } from './within.ts'

export type SamplerDeps = {
  calls: Pick<Calls, 'participants'>
  log: Logger
  took(of: StreamOf, sample: Sample): void
  /** How many streams are asked for at once, and how often. */
  perTurn?: number
  everyMs?: number
}

type Stream = { of: StreamOf; stream: Producer | Consumer; call: Call }
type Counted = { packets: number; bytes: number; lost: number }
type Stat = Awaited<ReturnType<Producer['getStats'] | Consumer['getStats']>>[number]

/** A question takes some 22 µs, here and at the worker together: 0.2% of a core in all. */
const PER_TURN = 100
const EVERY_MS = 1_000
const PATIENCE_MS = 5_000
/** Jitter comes in ticks of the codec's clock. */
const CLOCK = { audio: 48_000, video: 90_000 }

/**
 * Looks how media fares: at so many streams a second, in turn, however many there are, because each is a question to a
 * worker. What a stream carried after it was last looked at is not counted when it ends.
 */
export class Sampler {
  readonly #counted = new WeakMap<Producer | Consumer, Counted>()
  #queue: Stream[] = []
  #timer: Timer | undefined
  #sampling: Promise<void> | undefined

  constructor(private readonly deps: SamplerDeps) {}

  start(): void {
    this.#timer = setInterval(() => void this.turn(), this.deps.everyMs ?? EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Looks at the next ones; not while it is still waiting for those before. */
  turn(): Promise<void> {
    this.#sampling ??= this.#next().finally(() => {
      this.#sampling = undefined
    })
    return this.#sampling
  }

  async #next(): Promise<void> {
    if (this.#queue.length === 0) this.#queue = this.#streams()
    const now = this.#queue.splice(0, this.deps.perTurn ?? PER_TURN)
    await within(PATIENCE_MS, Promise.all(now.map((one) => this.#look(one))))
  }

  /** Those in which something flows. */
  #streams(): Stream[] {
    return this.deps.calls.participants().flatMap(({ call, media }): Stream[] => {
      if (!media) return []
      const sent = [...media.outgoing.values()].map(({ producer, source }) => {
        return { of: { direction: 'in' as const, kind: producer.kind, source }, stream: producer, call }
      })
      const received = [...media.incoming.values()].flatMap(({ consumer }) => {
        const source = call.sent.get(consumer.producerId)?.source
        if (source === undefined) return []
        return [{ of: { direction: 'out' as const, kind: consumer.kind, source }, stream: consumer, call }]
      })
      return [...sent, ...received].filter(({ stream }) => !stream.paused)
    })
  }

  async #look({ of, stream, call }: Stream): Promise<void> {
    if (stream.closed) return
    try {
      const all: Stat[] = await stream.getStats()
      // A consumer tells of what it is fed by as well.
      const own = of.direction === 'in' ? all : all.filter(({ type }) => type === 'outbound-rtp')
      if (own.length === 0) return
      const sample = this.#sample(stream, own)
      call.quality.add(of, sample)
      this.deps.took(of, sample)
    } catch (error) {
      // It was closed, or its worker died, meanwhile.
      if (!stream.closed) this.deps.log.debug({ err: error }, 'a stream could not be measured')
    }
  }

  /** Of simulcast each layer is told by itself. */
  #sample(stream: Producer | Consumer, all: Stat[]): Sample {
    const before = this.#counted.get(stream) ?? { packets: 0, bytes: 0, lost: 0 }
    const sum = (figure: 'packetCount' | 'byteCount' | 'packetsLost') =>
      all.reduce((total, one) => total + Math.max(0, one[figure]), 0)
    const now = { packets: sum('packetCount'), bytes: sum('byteCount'), lost: sum('packetsLost') }
    this.#counted.set(stream, now)
    const trips = all.flatMap(({ roundTripTime }) => (roundTripTime ? [roundTripTime] : []))
    // What begins anew in the worker begins at nothing.
    const since = (figure: keyof Counted) => Math.max(0, now[figure] - before[figure])
    return {
      ...{ packets: since('packets'), bytes: since('bytes'), lost: since('lost') },
      jitterMs: jitterMs(stream.kind, Math.max(...all.map(({ jitter }) => jitter))),
      roundTripMs: trips.length === 0 ? undefined : Math.max(...trips),
      score: Math.max(...all.map(({ score }) => score)),
    }
  }
}

/** mediasoup's jitter in milliseconds. */
export const jitterMs = (kind: 'audio' | 'video', ticks: number): number => (Math.max(0, ticks) * 1_000) / CLOCK[kind]
