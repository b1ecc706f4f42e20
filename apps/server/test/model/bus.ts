import type { Bus, Unsubscribe } from '@conntext/bus'

export type Losses = { drop: number; repeat: number; delay: number; longestMs: number }

/** A small seeded generator (Tommy Ettinger's Mulberry32): the same seed makes the same run. */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/**
 * What one instance has of the bus. News of streams are lost, repeated and overtaken on their way to it; the rest comes
 * through, but while it is cut off, of which it is told when that is over. With its process ends its part.
 */
export class InstanceBus implements Bus {
  #gone = false
  #away = false
  readonly #gaps = new Set<() => void>()

  constructor(
    private readonly bus: Bus,
    private readonly random: () => number,
    private readonly losses: Losses,
  ) {}

  async publish(subject: string, payload: string): Promise<void> {
    if (this.#gone) return
    await this.check()
    await this.bus.publish(subject, payload)
  }

  announce(subject: string, payload: string): Promise<void> {
    return this.publish(subject, payload)
  }

  subscribe(subject: string, listener: (payload: string) => void): Promise<Unsubscribe> {
    const hear = (payload: string) => {
      if (!this.#gone && !this.#away) listener(payload)
    }
    if (!subject.startsWith('stream.')) return this.bus.subscribe(subject, hear)
    return this.bus.subscribe(subject, (payload) => this.#bring(() => hear(payload)))
  }

  onGap(listener: () => void): Unsubscribe {
    this.#gaps.add(listener)
    return async () => void this.#gaps.delete(listener)
  }

  async check(): Promise<void> {
    if (this.#away) throw new Error('the bus is away')
  }

  async close(): Promise<void> {}

  /** Cuts the instance off, or lets it back. */
  interrupt(away: boolean): void {
    const isBack = this.#away && !away
    this.#away = away
    if (isBack && !this.#gone) for (const listener of [...this.#gaps]) listener()
  }

  die(): void {
    this.#gone = true
    this.#gaps.clear()
  }

  #bring(deliver: () => void): void {
    const { drop, repeat, delay, longestMs } = this.losses
    const fate = this.random()
    if (fate < drop) return
    const late = () => setTimeout(deliver, this.random() * longestMs)
    if (fate < drop + repeat) late()
    if (fate > 1 - delay) late()
    else deliver()
  }
}
