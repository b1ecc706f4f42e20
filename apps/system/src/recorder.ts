import { type AuditEvent, auditFor, type Permission } from '@conntext/contracts'
import { type ServerDetails, systemOutbox } from '@conntext/db-server-details'
import { actorOf, type Caller } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import { enqueue, type OutboxEntry } from '@conntext/outbox'

/** Makes this service's audit events. */
export const systemAudit = auditFor('system')

export const auditEntries = (events: AuditEvent[]): OutboxEntry[] =>
  events.map((event) => ({ id: event.id, topic: 'audit', payload: event }))

/** Records events in the transaction of what they tell of. */
export const recordAudit = (tx: Parameters<typeof enqueue>[0], events: AuditEvent[]): Promise<void> =>
  enqueue(tx, systemOutbox, auditEntries(events))

const COALESCE_MS = 60_000
const REMEMBERED = 10_000

type Deps = { db: ServerDetails; clock: Clock; log: Logger; nudge(): void }

/**
 * Records what is no change: refusals, and reads of the audit trail. A repeat within a minute adds nothing to the
 * trail but noise, and is left out.
 */
export class Recorder {
  readonly #lately = new Map<string, number>()
  readonly #pending = new Set<Promise<void>>()

  constructor(private readonly deps: Deps) {}

  /** Never fails, and holds nobody up: the refusal is answered whether or not it can be recorded. */
  refused(caller: Caller, permission: Permission, route: string): void {
    const event = () => systemAudit('access.refused', actorOf(caller), route, { permission })
    const recording = this.#once(`refused ${caller.userId} ${permission} ${route}`, event).catch((error: unknown) =>
      this.deps.log.warn({ err: error, permission, route }, 'a refusal could not be recorded'),
    )
    this.#pending.add(recording)
    recording.finally(() => this.#pending.delete(recording))
  }

  /** Fails when it can't be recorded: nobody reads the trail without a trace. */
  queried(caller: Caller, filters: string[]): Promise<void> {
    return this.#once(`queried ${caller.userId}`, () =>
      systemAudit('audit.queried', actorOf(caller), null, { filters }),
    )
  }

  /** Resolves when nothing is being recorded any more. */
  async settle(): Promise<void> {
    await Promise.all(this.#pending)
  }

  async #once(key: string, event: () => AuditEvent): Promise<void> {
    const now = this.deps.clock.now().getTime()
    if ((this.#lately.get(key) ?? 0) > now) return
    this.#remember(key, now)
    try {
      await recordAudit(this.deps.db, [event()])
    } catch (error) {
      this.#lately.delete(key)
      throw error
    }
    this.deps.nudge()
  }

  #remember(key: string, now: number): void {
    this.#lately.delete(key)
    this.#lately.set(key, now + COALESCE_MS)
    for (const [oldest, until] of this.#lately) {
      if (until > now && this.#lately.size <= REMEMBERED) return
      this.#lately.delete(oldest)
    }
  }
}
