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
import type { Task } from './task.ts'

export type Cut = {
  events: number
  batches: number
  /** Rows that are not as they were written: they are left as evidence. */
  tampered: { batch: number; index: number; eventId: string }[]
}

/** What is to be removed: what is older than `before` and passes the filter. `category` is what the trail calls it by. */
export type CutRequest = { before: Date; filter: EventFilter; category: string }

/** How far a cut is: first all of it is signed, then it is removed. */
export type CutStep = Cut & {
  at: 'signing' | 'removing'
  before: string
  filter: EventFilter
  category: string
  /** The last batch that it is about. */
  last: number
  /** Those before it are signed. */
  next: number
}

const EPOCH = new Date(0)
const windowOf = ({ before }: Pick<CutStep, 'before'>): TimeWindow => ({ from: EPOCH, to: new Date(before) })

/**
 * Removes events for retention. This is the only way in which rows may be removed: a ClickHouse TTL, or a DELETE beside
 * it, is found by verification as tampering. The log in Postgres keeps the hashes of what is removed, so the proofs of all
 * other events, and those that were given out for the removed ones, stay valid; a signed record of each batch says which of
 * its rows are gone, written before they are. It may be interrupted anywhere: whoever is at the task next has `finishCut`
 * go on with it.
 * @throws dependency.away (503)
 */
export async function cutEvents(deps: ChainDeps, task: Task<CutStep>, request: CutRequest): Promise<Cut> {
  const { logId } = await readState(deps.db)
  await settleLeft(deps, logId)
  const last = (await readHead(deps.db))?.number ?? 0
  const { before, filter, category } = request
  const begun = { before: before.toISOString(), filter, category, last, next: 1, events: 0, batches: 0, tampered: [] }
  if ((await nextBatch(deps, { ...begun, at: 'signing' })) === undefined) return NOTHING
  await task.record(async () => ({ ...begun, at: 'signing' }))
  return finishCut(deps, task)
}

const NOTHING: Cut = { events: 0, batches: 0, tampered: [] }

/** Goes on with what is under way, by whomever it was begun. @throws dependency.away (503) */
export async function finishCut(deps: ChainDeps, task: Task<CutStep>): Promise<Cut> {
  while (task.step?.at === 'signing') await signNext(deps, task, task.step)
  if (!task.step) return NOTHING
  await remove(deps, task.step)
  const { events, batches, tampered, category, before } = task.step
  await task.record(async (tx) => {
    const data = { before, category, events, batches }
    await recordAudit(tx, [systemAudit('audit.cut', systemActor, null, data)])
    return null
  })
  return { events, batches, tampered }
}

/** Signs a part of what is to be removed. Not while a backup reads: it has no record of that. */
async function signNext(deps: ChainDeps, task: Task<CutStep>, step: CutStep): Promise<void> {
  const { db, audit } = deps
  const first = await nextBatch(deps, step)
  if (first === undefined) {
    return task.record(async () => (step.events > 0 ? { ...step, at: 'removing' } : null))
  }
  const end = await endOfPart(db, first, step.last)
  const rows = await fromAudit(selectMatching(audit, { window: windowOf(step), filter: step.filter, first, last: end }))
  await task.record((tx) => recordCuts(tx, deps, { ...step, next: end + 1 }, rows), { exclusive: true })
}

async function nextBatch({ audit }: ChainDeps, step: CutStep): Promise<number | undefined> {
  const { sql: condition, params } = matching(windowOf(step), step.filter)
  const [row] = await fromAudit(
    audit.rows<{ batch: string }>({
      sql: `SELECT batch FROM events WHERE ${condition} AND batch BETWEEN {first:UInt64} AND {last:UInt64}
        ORDER BY batch LIMIT 1`,
      params: { ...params, first: step.next, last: step.last },
    }),
  )
  return row && Number(row.batch)
}

/** Signs what is about to be removed; answers the step with that told of. */
async function recordCuts(
  tx: Transaction,
  { signers, clock, log }: ChainDeps,
  step: CutStep,
  rows: ChainedRow[],
): Promise<CutStep> {
  await lockChain(tx)
  const { keyId, logId } = await readState(tx)
  const signer = await signers(tx, keyId)
  const after = { ...step, tampered: [...step.tampered] }
  for (const [number, ofBatch] of Map.groupBy(rows, ({ batch }) => batch)) {
    const { events, tampered } = await recordCut(tx, { signer, logId, at: clock.now() }, number, ofBatch)
    for (const where of tampered) log.error(where, 'an audit row is not as it was written')
    after.tampered.push(...tampered)
    after.events += events
    after.batches += events > 0 ? 1 : 0
  }
  return after
}

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

async function remove({ audit }: ChainDeps, step: CutStep): Promise<void> {
  const { sql: condition, params } = matching(windowOf(step), step.filter)
  await fromAudit(
    audit.mutate({
      sql: `ALTER TABLE events DELETE WHERE ${condition} AND batch BETWEEN 1 AND {last:UInt64}
        AND NOT (id IN ({kept:Array(UUID)}))`,
      params: { ...params, last: step.last, kept: step.tampered.map(({ eventId }) => eventId) },
    }),
  )
}
