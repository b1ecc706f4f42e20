import { systemActor } from '@conntext/contracts'
import { type ChainedRow, type EventFilter, matching, selectMatching, type TimeWindow } from '@conntext/db-audit'
import { auditCuts } from '@conntext/db-server-details'
import { equalHashes } from '@conntext/merkle'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { fromAudit } from '../errors.ts'
import type { ChainDeps } from '../ingest.ts'
import type { Signer } from './keys.ts'
import { leafHash } from './leaf.ts'
import { endOfPart, lockChain, readBatch, readHead, readState, unpackLeaves } from './queries.ts'
import { settleLeft } from './settle.ts'
import { cutText } from './signing.ts'

export type Cut = {
  events: number
  batches: number
  /** Rows that are not as they were written: they are left as evidence. */
  tampered: { batch: number; index: number; eventId: string }[]
}

const EPOCH = new Date(0)

/**
 * Removes events for retention: those older than `before` that pass the filter. This is the only way in which rows may be
 * removed: a ClickHouse TTL, or a DELETE beside it, is found by verification as tampering. The log in Postgres keeps the
 * hashes of what is removed, so the proofs of all other events, and those that were given out for the removed ones, stay
 * valid; a signed record of each batch says which of its rows are gone, written before they are. It may be interrupted
 * anywhere and repeated. `category` is what the trail calls it by (`audit.cut`).
 * @throws dependency.away (503)
 */
export async function cutEvents(
  deps: ChainDeps,
  { before, filter, category }: { before: Date; filter: EventFilter; category: string },
): Promise<Cut> {
  const { db, audit } = deps
  const { logId } = await readState(db)
  await settleLeft(deps, logId)
  const last = (await readHead(db))?.number ?? 0
  const window = { from: EPOCH, to: before }
  const cut: Cut = { events: 0, batches: 0, tampered: [] }
  for (let first = await nextBatch(deps, window, filter, 1, last); first !== undefined; ) {
    const end = await endOfPart(db, first, last)
    const rows = await fromAudit(selectMatching(audit, { window, filter, first, last: end }))
    await recordCuts(deps, logId, rows, cut)
    first = end < last ? await nextBatch(deps, window, filter, end + 1, last) : undefined
  }
  if (cut.events > 0) await remove(deps, { window, filter, last, cut, category })
  return cut
}

async function nextBatch(
  { audit }: ChainDeps,
  window: TimeWindow,
  filter: EventFilter,
  first: number,
  last: number,
): Promise<number | undefined> {
  const { sql: condition, params } = matching(window, filter)
  const [row] = await fromAudit(
    audit.rows<{ batch: string }>({
      sql: `SELECT batch FROM events WHERE ${condition} AND batch BETWEEN {first:UInt64} AND {last:UInt64}
        ORDER BY batch LIMIT 1`,
      params: { ...params, first, last },
    }),
  )
  return row && Number(row.batch)
}

/** Tells `cut` of what is about to be removed, and signs it. */
const recordCuts = ({ db, signers, clock, log }: ChainDeps, logId: string, rows: ChainedRow[], cut: Cut) =>
  db.transaction(async (tx) => {
    await lockChain(tx)
    const signer = await signers(tx, (await readState(tx)).keyId)
    for (const [number, ofBatch] of Map.groupBy(rows, ({ batch }) => batch)) {
      const { events, tampered } = await recordCut(tx, { signer, logId, at: clock.now() }, number, ofBatch)
      for (const where of tampered) log.error(where, 'an audit row is not as it was written')
      cut.tampered.push(...tampered)
      cut.events += events
      cut.batches += events > 0 ? 1 : 0
    }
  })

/** Adds to the batch's record what is about to be removed from it. */
async function recordCut(
  tx: Transaction,
  { signer, logId, at }: { signer: Signer; logId: string; at: Date },
  number: number,
  rows: ChainedRow[],
): Promise<Pick<Cut, 'events' | 'tampered'>> {
  const batch = await readBatch(tx, number)
  const leaves = batch ? unpackLeaves(batch.leaves) : []
  const isIntact = (row: ChainedRow): boolean => {
    const leaf = leaves[row.batch_index]
    return leaf !== undefined && equalHashes(leaf.hash, leafHash(row))
  }
  const intact = rows.filter(isIntact)
  const tampered = rows
    .filter((row) => !isIntact(row))
    .map((row) => ({ batch: number, index: row.batch_index, eventId: row.id }))
  if (intact.length === 0) return { events: 0, tampered }
  const [known] = await tx.select({ removed: auditCuts.removed }).from(auditCuts).where(eq(auditCuts.batch, number))
  const removed = Buffer.alloc(Math.ceil(leaves.length / 8))
  Buffer.from(known?.removed ?? []).copy(removed)
  for (const { batch_index: index } of intact) removed[index >> 3]! |= 1 << (index & 7)
  const record = { batch: number, removed, at }
  const signed = { ...record, keyId: signer.id, signature: signer.sign(cutText(logId, record)) }
  await tx.insert(auditCuts).values(signed).onConflictDoUpdate({ target: auditCuts.batch, set: signed })
  return { events: intact.length, tampered }
}

async function remove(
  { db, audit }: ChainDeps,
  {
    window,
    filter,
    last,
    cut,
    category,
  }: { window: TimeWindow; filter: EventFilter; last: number; cut: Cut; category: string },
): Promise<void> {
  const { sql: condition, params } = matching(window, filter)
  await fromAudit(
    audit.mutate({
      sql: `ALTER TABLE events DELETE WHERE ${condition} AND batch BETWEEN 1 AND {last:UInt64}
        AND NOT (id IN ({kept:Array(UUID)}))`,
      params: { ...params, last, kept: cut.tampered.map(({ eventId }) => eventId) },
    }),
  )
  const { events, batches } = cut
  const data = { before: window.to.toISOString(), category, events, batches }
  await db.transaction((tx) => recordAudit(tx, [systemAudit('audit.cut', systemActor, null, data)]))
}
