import { dlopen, ptr } from 'bun:ffi'

// Of glibc's `struct timex`, as it is on 64-bit Linux, in words of 8 bytes.
const TIMEX = { words: 64, status: 5, seconds: 9 }
const NOT_KEPT = 0x40
const DIFFERENCE_MS = 60_000

/**
 * The kernel's own clock, and whether it is kept right by NTP: one that is set by hand, or was just started, is not until a
 * time server has been heard. Undefined where it can't be told: on other systems, or where it may not be asked.
 */
export function kernelClock(): { atMs: number; isKept: boolean } | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) return undefined
  try {
    const libc = dlopen('libc.so.6', { adjtimex: { args: ['ptr'], returns: 'int' } })
    try {
      const timex = new BigInt64Array(TIMEX.words)
      if (libc.symbols.adjtimex(ptr(timex)) < 0) return undefined
      const status = Number(BigInt.asUintN(32, timex[TIMEX.status]!))
      return { atMs: Number(timex[TIMEX.seconds]) * 1000, isKept: (status & NOT_KEPT) === 0 }
    } finally {
      libc.close()
    }
  } catch {
    return undefined
  }
}

/** Whether the system keeps this time right by NTP. A time that only this process is made to see is not. */
export function isKeptByNtp(now: Date, clock = kernelClock()): boolean {
  return clock?.isKept === true && Math.abs(clock.atMs - now.getTime()) < DIFFERENCE_MS
}
