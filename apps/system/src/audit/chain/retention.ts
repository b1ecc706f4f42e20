import { systemActor } from '@conntext/contracts'
import { type ChainedRow, type EventFilter, matching, selectMatching, type TimeWindow } from '@conntext/db-audit'
import { auditCuts } from '@conntext/db-server-details'
import { equalHashes } from '@conntext/merkle'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'
import { recordAudit, systemAudit } from '../../recorder.ts'
import { fromAudit } from '../errors.ts'
import type { ChainDeps } from '../ingest.ts'
import { leafHash } from './leaf.ts'
import { lockChain, readBatch, readHead, readState, unpackLeaves } from './queries.ts'
import { settleLeft } from './settle.ts'
import { cutText } from './signing.ts'

export type Cut = {
  events: number
  batches: number
  /** Rows that are not as they were written: they are left as evidence. */
  tampered: { batch: number; index: number; eventId: string }[]
}

const BATCHES_AT_ONCE = 200
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
    const end = Math.min(last, first + BATCHES_AT_ONCE - 1)
    const rows = await fromAudit(selectMatching(audit, { window, filter, first, last: end }))
    for (const [number, ofBatch] of Map.groupBy(rows, ({ batch }) => batch)) {
      const events = await db.transaction((tx) => recordCut(tx, deps, logId, { number, rows: ofBatch, cut }))
      cut.events += events
      cut.batches += events > 0 ? 1 : 0
    }
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

/** Adds to the batch's record what is about to be removed from it. Answers how many events that is. */
async function recordCut(
  tx: Transaction,
  { signers, clock, log }: ChainDeps,
  logId: string,
  { number, rows, cut }: { number: number; rows: ChainedRow[]; cut: Cut },
): Promise<number> {
  await lockChain(tx)
  const batch = await readBatch(tx, number)
  const leaves = batch ? unpackLeaves(batch.leaves) : []
  const intact = rows.filter((row) => {
    const leaf = leaves[row.batch_index]
    if (leaf && equalHashes(leaf.hash, leafHash(row))) return true
    cut.tampered.push({ batch: number, index: row.batch_index, eventId: row.id })
    log.error({ batch: number, index: row.batch_index, eventId: row.id }, 'an audit row is not as it was written')
    return false
  })
  if (intact.length === 0) return 0
  const [known] = await tx.select({ removed: auditCuts.removed }).from(auditCuts).where(eq(auditCuts.batch, number))
  const removed = Buffer.alloc(Math.ceil(leaves.length / 8))
  Buffer.from(known?.removed ?? []).copy(removed)
  for (const { batch_index: index } of intact) removed[index >> 3]! |= 1 << (index & 7)
  const signer = await signers(tx, (await readState(tx)).keyId)
  const record = { batch: number, removed, at: clock.now() }
  const signed = { ...record, keyId: signer.id, signature: signer.sign(cutText(logId, record)) }
  await tx.insert(auditCuts).values(signed).onConflictDoUpdate({ target: auditCuts.batch, set: signed })
  return intact.length
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
