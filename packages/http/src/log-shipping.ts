import { hostname } from 'node:os'
import type { LogEntry } from '@conntext/contracts'
import { AppError, gauge, newId, Shipper } from '@conntext/kernel'

/** Takes lines of the log; resolves when it has them. */
export type TakeLogs = (request: { entries: LogEntry[]; lost: number }) => Promise<unknown>

export type LogShipping = {
  /** For `createLogger`. */
  ship(line: string): void
  /** Where lines go from now on; until then they wait. */
  deliverTo(take: TakeLogs): void
  stop(): Promise<void>
}

/** This process, among those of the same service. */
export const instanceName = (): string => `${hostname()}/${process.pid}`.slice(-100)

const waiting = gauge('conntext_log_waiting_bytes', 'Lines of the log that wait to be shipped')
const lines = gauge('conntext_log_lines_total', 'Lines of the log, by what became of them', ['outcome'], 'counter')

type Waiting = { line: string; entry?: LogEntry }

/**
 * Brings what a process logs to the system service, beside everything else and bounded: what doesn't get there in time is
 * dropped and counted. `say` is told when that begins and ends: a log of its own, which isn't shipped.
 */
export function shipLogs({ say }: { say(line: string): void }): LogShipping {
  const instance = instanceName()
  let take: TakeLogs | undefined
  const shipper = new Shipper<Waiting>({
    async ship(batch, lost) {
      if (!take) throw new Error('nobody takes logs yet')
      await take({ entries: batch.map((one) => (one.entry ??= toEntry(one.line, instance))), lost })
    },
    isRefusal: (error) => error instanceof AppError && error.status < 500 && error.status !== 429,
    sizeOf: ({ line }) => line.length + OVERHEAD,
    changed: (error) => {
      if (take) say(error === undefined ? 'logs are shipped again' : 'logs can not be shipped for now; they wait')
    },
  })
  const ends = [
    waiting.from(() => [[shipper.waitingBytes]]),
    lines.from(() => [
      [shipper.counts.shipped, 'shipped'],
      [shipper.counts.dropped, 'dropped'],
    ]),
  ]
  return {
    ship: (line) => shipper.add({ line }),
    deliverTo(given) {
      take = given
    },
    async stop() {
      await shipper.stop()
      for (const end of ends) end()
    },
  }
}

// What an object in a list takes besides its text.
const OVERHEAD = 64

/** A line of the logger as an entry. */
export function toEntry(line: string, instance: string): LogEntry {
  const { time, level, service, msg, requestId, traceId, ...fields } = JSON.parse(line) as Record<string, unknown>
  const text = (value: unknown) => (typeof value === 'string' ? value : null)
  return {
    id: newId(),
    at: String(time),
    service: String(service).slice(0, 40),
    instance,
    level: level as LogEntry['level'],
    message: text(msg) ?? '',
    requestId: text(requestId),
    traceId: text(traceId),
    fields,
  }
}
