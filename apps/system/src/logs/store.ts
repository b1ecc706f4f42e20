import type { LogEntry } from '@conntext/contracts'
import { type Audit, insertLogs, type LogRow } from '@conntext/db-audit'
import { gauge, type Logger, newId, Shipper } from '@conntext/kernel'

const waiting = gauge('conntext_log_store_waiting_bytes', 'Lines of the log of all services that wait to be stored')
const stored = gauge(
  'conntext_log_store_lines_total',
  'Lines of the log of all services, by what became of them',
  ['outcome'],
  'counter',
)

/**
 * Takes what services log and stores it beside everything else: nobody waits for ClickHouse. While that is away a bounded
 * part waits for it; what doesn't fit is dropped, and a line says how much.
 */
export class LogStore {
  readonly #shipper: Shipper<LogRow>
  readonly #ends: (() => void)[]
  #lostBefore = 0

  constructor({ audit, log }: { audit: Audit; log: Logger }) {
    this.#shipper = new Shipper<LogRow>({
      ship: (rows, lost) => insertLogs(audit, lost > 0 ? [...rows, lossRow(rows.at(-1)!, lost)] : rows),
      sizeOf: ({ message, fields }) => message.length + fields.length + 200,
      maxBytes: 16_777_216,
      batchItems: 5_000,
      batchBytes: 4_194_304,
      everyMs: 500,
      changed: (error) =>
        error === undefined
          ? log.info({}, 'logs are stored again')
          : log.warn({ err: error }, 'logs can not be stored for now; a part of them waits'),
    })
    this.#ends = [
      waiting.from(() => [[this.#shipper.waitingBytes]]),
      stored.from(() => [
        [this.#shipper.counts.shipped, 'stored'],
        [this.dropped, 'dropped'],
      ]),
    ]
  }

  /** Lines that were dropped for want of room, here or before they got here, since the start. */
  get dropped(): number {
    return this.#lostBefore + this.#shipper.counts.dropped
  }

  take({ entries, lost }: { entries: LogEntry[]; lost: number }): void {
    this.#lostBefore += lost
    for (const entry of entries) this.#shipper.add(toRow(entry))
    const last = entries.at(-1)
    if (lost > 0 && last) this.#shipper.add(lossRow(toRow(last), lost))
  }

  async stop(): Promise<void> {
    await this.#shipper.stop()
    for (const end of this.#ends) end()
  }
}

const toRow = ({ requestId, traceId, fields, ...entry }: LogEntry): LogRow => ({
  ...entry,
  request_id: requestId,
  trace_id: traceId,
  fields: JSON.stringify(fields),
})

/** In the place of what was lost. */
const lossRow = ({ at, service, instance }: LogRow, lost: number): LogRow => ({
  id: newId(),
  ...{ at, service, instance },
  level: 'warn',
  message: 'lines of the log were lost',
  request_id: null,
  trace_id: null,
  fields: JSON.stringify({ lost }),
})
