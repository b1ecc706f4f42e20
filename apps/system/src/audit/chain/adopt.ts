import { systemActor } from '@conntext/contracts'
import { type Audit, type ChainedRow, selectUnchained } from '@conntext/db-audit'
import { auditBatches, auditLog } from '@conntext/db-server-details'
import { eq, sql } from 'drizzle-orm'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { fromAudit } from '../errors.ts'
import type { ChainDeps } from '../ingest.ts'
import { splitData, toEvent } from '../rows.ts'
import { appendBatch, type Batch, readTip } from './append.ts'
import { KnownEvents } from './known-events.ts'
import { lockChain, readState } from './queries.ts'
import { deliver, settleLeft } from './settle.ts'

const AT_ONCE = 2_000

/**
 * Takes the events from before the chain into it, once in a server's life: they are inserted anew, in batches that say
 * that nothing protected them until then, and the rows without a place are removed. It may be interrupted anywhere, and
 * several instances may be at it: which events the log holds already is decided in Postgres, under the chain's lock. What
 * comes in later without a place was not put there by us, and is left for verification to find.
 * @throws dependency.away (503)
 */
export async function adoptRows(deps: ChainDeps): Promise<void> {
  const { logId, isAdopted } = await readState(deps.db)
  if (isAdopted) return
  await settleLeft(deps, logId)
  const known = new KnownEvents()
  let found = await readAfter(deps.audit, undefined)
  while (found.length > 0) {
    const batch = await adopt(deps, known, found)
    // While the engine stores these, it reads the next.
    const [next] = await Promise.all([readAfter(deps.audit, found.at(-1)), batch && deliver(deps, logId, batch)])
    found = next
  }
  // What another instance has begun and not ended must be there, too, before what it came from is removed.
  await settleLeft(deps, logId)
  await removeUnchained(deps.audit)
  await end(deps)
}

const readAfter = (audit: Audit, last: ChainedRow | undefined): Promise<ChainedRow[]> =>
  fromAudit(selectUnchained(audit, last && { occurredAt: new Date(last.occurred_at), id: last.id }, AT_ONCE))

/** Appends those of the rows that the log doesn't hold; answers the batch, where one was made. */
async function adopt(deps: ChainDeps, known: KnownEvents, found: ChainedRow[]): Promise<Batch | undefined> {
  const distinct = [...new Map(found.map((row) => [row.id, row])).values()]
  const batch = await deps.db.transaction(async (tx) => {
    await lockChain(tx)
    const state = await readState(tx)
    // Another instance has come to the end: what is without a place by now was not put there by us.
    if (state.isAdopted) return undefined
    const ids = distinct.map(({ id }) => id)
    const held = await known.among(tx, ids)
    const rows = distinct.filter(({ id }) => !held.has(id)).map((row) => ({ ...row, ...splitData(toEvent(row)) }))
    if (rows.length === 0) return undefined
    return (await appendBatch(tx, deps, { state, tip: await readTip(tx), kind: 'adopted', rows })).batch
  })
  if (batch) known.add(batch.number, batch.ids)
  return batch
}

const removeUnchained = (audit: Audit): Promise<void> =>
  fromAudit(
    audit.mutate({
      sql: 'ALTER TABLE events DELETE WHERE batch = 0 AND id IN (SELECT id FROM events WHERE batch > 0)',
      params: {},
    }),
  )

async function end({ db, clock }: ChainDeps): Promise<void> {
  await db.transaction(async (tx) => {
    await lockChain(tx)
    if ((await readState(tx)).isAdopted) return
    const { kind, size } = auditBatches
    const [adopted] = await tx
      .select({ events: sql<number>`coalesce(sum(${size}), 0)::int8`.mapWith(Number) })
      .from(auditBatches)
      .where(eq(kind, 'adopted'))
    await tx.update(auditLog).set({ adoptedAt: clock.now() })
    const { events } = adopted!
    if (events > 0) await recordAudit(tx, [systemAudit('audit.adopted', systemActor, null, { events })])
  })
}
