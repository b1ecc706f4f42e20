import { type AuditEvent, auditFor } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { type ServerDetails, systemOutbox } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import { type Clock, isWithin } from '@conntext/kernel'
import { enqueue, type OutboxEntry } from '@conntext/outbox'

/** Makes this service's audit events. */
export const systemAudit = auditFor('system')

export const auditEntries = (events: AuditEvent[]): OutboxEntry[] =>
  events.map((event) => ({ id: event.id, topic: 'audit', payload: event }))

/** Records events in the transaction of what they tell of. */
export const recordAudit = (tx: Executor, events: AuditEvent[]): Promise<void> =>
  enqueue(tx, systemOutbox, auditEntries(events))

const COALESCE_MS = 60_000
const REMEMBERED = 10_000

type Deps = { db: ServerDetails; clock: Clock; nudge(): void }

/** Records reads of the audit trail and of the logs. A repeat within a minute adds nothing to the trail but noise, and is left out. */
export class Recorder {
  readonly #lately = new Map<string, number>()

  constructor(private readonly deps: Deps) {}

  /** Fails when it can't be recorded: nobody reads the trail without a trace. */
  async queried(
    caller: Caller,
    filters: string[],
    action: 'audit.queried' | 'logs.queried' = 'audit.queried',
  ): Promise<void> {
    const { db, clock, nudge } = this.deps
    const reader = `${action} ${caller.userId}`
    const now = clock.now().getTime()
    if (isWithin(COALESCE_MS, this.#lately.get(reader) ?? Number.NEGATIVE_INFINITY, now)) return
    this.#remember(reader, now)
    try {
      await recordAudit(db, [systemAudit(action, actorOf(caller), null, { filters })])
    } catch (error) {
      this.#lately.delete(reader)
      throw error
    }
    nudge()
  }

  #remember(reader: string, now: number): void {
    this.#lately.delete(reader)
    this.#lately.set(reader, now)
    for (const [oldest, at] of this.#lately) {
      if (isWithin(COALESCE_MS, at, now) && this.#lately.size <= REMEMBERED) return
      this.#lately.delete(oldest)
    }
  }
}
