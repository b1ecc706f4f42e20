/** Where a part's time comes from, so that expiry can be tested without waiting. */
export type Clock = { now(): Date }

export const systemClock: Clock = { now: () => new Date() }

/**
 * Whether `now` is within `ms` after `since`. Before it, it is not: what was noted while a clock was ahead must not count
 * until the clock has caught up.
 */
export const isWithin = (ms: number, since: number, now: number): boolean => now >= since && now - since < ms
