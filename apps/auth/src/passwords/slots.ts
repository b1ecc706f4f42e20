import { gauge } from '@conntext/kernel'
import { networkOf } from '../throttle/network.ts'
import { passwordErrors } from './errors.ts'

export type SlotLimits = {
  /** How many run at once. */
  concurrency: number
  /** How many may wait for their turn. */
  queue: number
}

/** Whose turn it is to be, among those who wait. */
export type Turn = {
  /** Who shares a turn: of so many that come from one place each waits a little longer than the one before. */
  from: string
  /** How much later than others it comes, in ms; how much earlier, where that is negative. */
  handicapMs: number
}

// About what a full default queue takes to clear.
const RETRY_AFTER_S = 5
// Some ten times what the work takes: so two from one place wait behind several from others.
const EACH_FROM_ONE_PLACE_MS = 500
const ANYBODY: Turn = { from: '', handicapMs: 0 }

/** Of whoever has proved who they are, before those who are yet to. */
export const PROVEN: Turn = { from: 'proven', handicapMs: -10_000 }

/** Of whoever is known by nothing but where they are. */
export const turnFrom = ({ address }: { address: string | null }): Turn => ({
  from: address === null ? '' : networkOf(address),
  handicapMs: 0,
})

type Waiting = Turn & { rank: number; go(): void; giveUp(): void }

const waiting = gauge('conntext_password_waiting', 'Checks of passwords that wait for their turn')

/**
 * Bounds work that costs a core and megabytes each: so many at once, so many waiting, and no more. Those wait in the order
 * of when they came and what is held against them: so a crowd, or one who guesses, doesn't keep the others out. Where too
 * many wait it is the last of that order who is refused. What is held against somebody is bounded, so all get their turn.
 */
export class Slots {
  readonly #waiting: Waiting[] = []
  #running = 0
  #suspect = 0

  constructor(private readonly limits: SlotLimits) {}

  /** Whether whoever comes now waits. */
  get isFull(): boolean {
    return this.#running >= this.limits.concurrency
  }

  /** Tells how many wait. Answers how to end it. */
  measured(): () => void {
    return waiting.from(() => [[this.#waiting.length]])
  }

  /** Runs the work when it is its turn. @throws password.busy (503) when too many are waiting before it */
  async run<T>(work: () => Promise<T>, turn: Turn = ANYBODY): Promise<T> {
    const isSuspect = turn.handicapMs > 0
    if (this.#mayRun(isSuspect)) this.#begin(isSuspect)
    else await this.#wait(turn)
    try {
      return await work()
    } finally {
      this.#running -= 1
      if (isSuspect) this.#suspect -= 1
      this.#next()
    }
  }

  /** One place is kept for those against whom nothing is held. */
  #mayRun(isSuspect: boolean): boolean {
    if (this.isFull) return false
    return !isSuspect || this.#suspect < Math.max(1, this.limits.concurrency - 1)
  }

  #begin(isSuspect: boolean): void {
    this.#running += 1
    if (isSuspect) this.#suspect += 1
  }

  #wait(turn: Turn): Promise<void> {
    const ahead = this.#waiting.filter(({ from }) => from === turn.from).length
    const rank = performance.now() + turn.handicapMs + ahead * EACH_FROM_ONE_PLACE_MS
    const busy = () => passwordErrors.busy({ retryAfter: RETRY_AFTER_S })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const place = this.#waiting.findLastIndex((one) => one.rank <= rank) + 1
    this.#waiting.splice(place, 0, { ...turn, rank, go: resolve, giveUp: () => reject(busy()) })
    if (this.#waiting.length > this.limits.queue) this.#waiting.pop()!.giveUp()
    return promise
  }

  #next(): void {
    const next = this.#waiting.findIndex(({ handicapMs }) => this.#mayRun(handicapMs > 0))
    if (next === -1) return
    const [one] = this.#waiting.splice(next, 1)
    this.#begin(one!.handicapMs > 0)
    one!.go()
  }
}
