import type { VoiceKind, VoiceSource } from '@conntext/contracts'

/** Of what a stream is: `in` from a client to the server, `out` from it to a client. */
export type StreamOf = { direction: 'in' | 'out'; kind: VoiceKind; source: VoiceSource }

/** What was measured of a stream since it was looked at before. */
export type Sample = {
  packets: number
  bytes: number
  lost: number
  jitterMs: number
  /** Undefined while nothing has come back from the other end. */
  roundTripMs: number | undefined
  /** From 0 to 10, as mediasoup gives it. */
  score: number
}

/** How all streams of a source and direction have fared in a call. */
export type QualitySummary = StreamOf & {
  packets: number
  bytes: number
  lost: number
  /** Of the samples' middle, and the worst of them. */
  jitterMs: { mean: number; worst: number }
  roundTripMs: { mean: number; worst: number }
  score: { mean: number; worst: number }
}

type Kept = StreamOf & {
  packets: number
  bytes: number
  lost: number
  jitter: Spread
  roundTrip: Spread
  score: Spread
}

class Spread {
  #sum = 0
  #count = 0
  #worst: number | undefined

  constructor(private readonly worse: (one: number, other: number) => number) {}

  add(value: number): void {
    this.#sum += value
    this.#count += 1
    this.#worst = this.#worst === undefined ? value : this.worse(this.#worst, value)
  }

  get told(): { mean: number; worst: number } {
    const round = (value: number) => Math.round(value * 10) / 10
    return { mean: round(this.#count === 0 ? 0 : this.#sum / this.#count), worst: round(this.#worst ?? 0) }
  }
}

/** How a call's media has fared since it began: a few numbers for each source and direction, however long it lasts. */
export class CallQuality {
  readonly #kept = new Map<string, Kept>()

  add(of: StreamOf, { packets, bytes, lost, jitterMs, roundTripMs, score }: Sample): void {
    const key = `${of.direction} ${of.source}`
    const kept = this.#kept.get(key) ?? {
      ...{ ...of, packets: 0, bytes: 0, lost: 0 },
      ...{ jitter: new Spread(Math.max), roundTrip: new Spread(Math.max), score: new Spread(Math.min) },
    }
    this.#kept.set(key, kept)
    kept.packets += packets
    kept.bytes += bytes
    kept.lost += lost
    kept.jitter.add(jitterMs)
    if (roundTripMs !== undefined) kept.roundTrip.add(roundTripMs)
    kept.score.add(score)
  }

  /** As it is by now, or was in all when the call is over. */
  summary(): QualitySummary[] {
    return [...this.#kept.values()].map(({ jitter, roundTrip, score, ...kept }) => ({
      ...kept,
      ...{ jitterMs: jitter.told, roundTripMs: roundTrip.told, score: score.told },
    }))
  }
}
