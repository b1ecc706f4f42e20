import type { AuditEvent } from '@conntext/contracts'
import type { Audit, EventRow } from '@conntext/db-audit'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Clock, Logger } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import type { Transaction } from '../change.ts'
import { adoptRows } from './chain/adopt.ts'
import { appendBatch, type Batch, readTip, type Tip } from './chain/append.ts'
import { oweErasures, withoutErased } from './chain/erasure.ts'
import type { Signers } from './chain/keys.ts'
import { KnownEvents } from './chain/known-events.ts'
import { lockChain, readState } from './chain/queries.ts'
import { deliver, settle } from './chain/settle.ts'
import { auditErrors } from './errors.ts'
import { toRow } from './rows.ts'

export type ChainDeps = {
  db: ServerDetails
  audit: Audit
  keyring: Keyring
  signers: Signers
  clock: Clock
  log: Logger
}
export type Ingest = (request: { events: AuditEvent[] }) => Promise<void>

// Between these the column's type holds every millisecond.
const EARLIEST = Date.UTC(1970, 0, 1)
const LATEST = Date.UTC(2200, 0, 1)
/**
 * What waits is taken together up to so many events: larger batches are cheaper for both databases; but when all who wait
 * are in one, there is no next one to be made meanwhile.
 */
const MOST_EVENTS = 1_000

type Appended = { logId: string; batch: Batch; tip: Tip }
type Unsettled = { logId: string; left: number[] }
type Waiting = { events: AuditEvent[]; resolve(): void; reject(error: unknown): void }

/**
 * Stores audit events for good, each id once, whatever is repeated, reordered or sent at the same time, and whoever dies
 * on the way (docs/audit.md). A batch is in the chain, with its rows, before ClickHouse gets them; it resolves when
 * ClickHouse has them too. While ClickHouse has one batch to store, the next one is made.
 * @throws audit.unstorable (422), dependency.away (503)
 */
export function createIngest(deps: ChainDeps): Ingest {
  const waiting: Waiting[] = []
  const chainEnd = new ChainEnd(deps)
  let isWorking = false
  const work = async () => {
    isWorking = true
    while (waiting.length > 0) {
      const group = takeGroup(waiting)
      try {
        const { done } = await chainEnd.append(group.flatMap(({ events }) => events))
        done.then(
          () => group.forEach(({ resolve }) => void resolve()),
          (error) => group.forEach(({ reject }) => void reject(error)),
        )
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    isWorking = false
  }
  return async ({ events }) => {
    for (const event of events) assertStorable(event)
    if (events.length === 0) return
    await new Promise<void>((resolve, reject) => {
      waiting.push({ events, resolve, reject })
      if (!isWorking) work()
    })
  }
}

function takeGroup(waiting: Waiting[]): Waiting[] {
  let count = 0
  const length = waiting.findIndex(({ events }, i) => {
    count += events.length
    return i > 0 && count > MOST_EVENTS
  })
  return waiting.splice(0, length === -1 ? waiting.length : length)
}

function assertStorable({ id, occurredAt }: AuditEvent): void {
  const time = Date.parse(occurredAt)
  if (time >= EARLIEST && time < LATEST) return
  throw auditErrors.unstorable(`The time of event ${id} is out of range.`)
}

/** The end of the chain as this process knows it. One call at a time. */
class ChainEnd {
  #tip: Tip | undefined
  #isAdopted = false
  /** The batch that ClickHouse is being given, by this process. */
  #delivering: { number: number; done: Promise<void> } | undefined
  readonly #known = new KnownEvents()

  constructor(private readonly deps: ChainDeps) {}

  /** Resolves once the events are in the chain; what it answers, once they are in ClickHouse. */
  async append(events: AuditEvent[]): Promise<{ done: Promise<void> }> {
    const before = this.#delivering
    const appended = await this.#commit(events)
    // One at a time: what fails there must not pile up here.
    const done = (before?.done ?? Promise.resolve()).then(() =>
      appended ? deliver(this.deps, appended.logId, appended.batch) : undefined,
    )
    if (appended) {
      const delivering = { number: appended.batch.number, done }
      this.#delivering = delivering
      done.then(
        () => this.#ended(delivering),
        () => this.#ended(delivering),
      )
    }
    await before?.done.catch(() => {})
    return { done }
  }

  #ended(delivering: unknown): void {
    if (this.#delivering === delivering) this.#delivering = undefined
  }

  async #commit(events: AuditEvent[]): Promise<Appended | undefined> {
    if (!this.#isAdopted) await adoptRows(this.deps)
    this.#isAdopted = true
    let made = await this.#tryCommit(events, 'settled first')
    if (made && 'left' in made) {
      // ClickHouse is not waited for with the chain locked.
      await settle(this.deps, made.logId, made.left)
      made = await this.#tryCommit(events, 'as it is')
    }
    if (!made || 'left' in made) return undefined
    this.#tip = made.tip
    this.#known.add(made.batch.number, made.batch.ids)
    return made
  }

  /**
   * Appends the events; or answers which batches others began and didn't end, where those are to be settled first. Once
   * they are, what others have begun since is new, and left to whoever comes next.
   */
  async #tryCommit(
    events: AuditEvent[],
    what: 'settled first' | 'as it is',
  ): Promise<Appended | Unsettled | undefined> {
    const { deps } = this
    return deps.db.transaction(async (tx) => {
      await lockChain(tx)
      const state = await readState(tx)
      const { logId, head } = state
      const left = state.unsettled.filter((number) => number !== this.#delivering?.number)
      if (what === 'settled first' && left.length > 0) return { logId, left }
      const rows = await this.#newRows(tx, events)
      if (rows.length === 0) return undefined
      // Not read again where nobody else has gone on: what was rewritten under it doesn't follow, and is found.
      const tip = this.#tip?.number === head ? this.#tip : await readTip(tx)
      const owed = await oweErasures(tx, deps, state, events)
      const kept = owed > 0 || state.hasErasures ? await withoutErased(tx, rows) : rows
      return { logId, ...(await appendBatch(tx, deps, { state, tip, kind: 'live', rows: kept })) }
    })
  }

  /** The events that the chain doesn't hold yet, once each, in their order. */
  async #newRows(tx: Transaction, events: AuditEvent[]): Promise<EventRow[]> {
    const distinct = [...new Map(events.map((event) => [event.id, event])).values()]
    const known = await this.#known.among(
      tx,
      distinct.map(({ id }) => id),
    )
    const receivedAt = this.deps.clock.now()
    return distinct.filter(({ id }) => !known.has(id)).map((event) => toRow(event, receivedAt))
  }
}
