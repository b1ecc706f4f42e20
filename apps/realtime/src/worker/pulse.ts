import type { Logger } from '@conntext/kernel'
import type { Worker } from 'mediasoup/types'
import { within } from '../figures/within.ts'

const EVERY_MS = 5_000
// One that is missed may be this process's fault, which has stood still.
const MISSES = 2

/**
 * Ends a worker that lives and answers nothing any more, as if it had died: its calls could not even be left. It takes
 * no answer to two questions in a row, each for as long as it is until the next.
 */
export function keepPulse(worker: Worker, log: Logger, everyMs = EVERY_MS): void {
  let misses = 0
  const timer = setInterval(async () => {
    const isOver = () => worker.closed || worker.died
    const answer = isOver() ? undefined : await within(everyMs * 0.9, worker.getResourceUsage()).catch(() => undefined)
    if (isOver()) return clearInterval(timer)
    misses = answer ? 0 : misses + 1
    if (misses < MISSES) return
    clearInterval(timer)
    log.error({ pid: worker.pid }, 'a mediasoup worker answers nothing any more: it is ended')
    try {
      process.kill(worker.pid, 'SIGKILL')
    } catch {
      // It went in between.
    }
  }, everyMs)
  timer.unref()
}
