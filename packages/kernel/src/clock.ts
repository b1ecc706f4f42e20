/** Where a part's time comes from, so that expiry can be tested without waiting. */
export type Clock = {
  now(): Date
  /** Milliseconds since some moment, which pass evenly, however the clock is set. Where it isn't told, by `now`. */
  elapsed?(): number
}

export const systemClock: Clock = { now: () => new Date(), elapsed: () => performance.now() }

/** For how long something lasts within this process: leases and pauses must not end because the clock is set. */
export const elapsedMs = (clock: Clock): number => clock.elapsed?.() ?? clock.now().getTime()

/**
 * Whether `now` is within `ms` after `since`. Before it, it is not: what was noted while a clock was ahead must not count
 * until the clock has caught up.
 */
export const isWithin = (ms: number, since: number, now: number): boolean => now >= since && now - since < ms
