import { auditBatches, auditErasures, auditPending, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { completedBy, HASH_BYTES, type Node, type NodeHash } from '@conntext/merkle'
import { and, asc, between, desc, inArray, isNull, sql } from 'drizzle-orm'
import type { Transaction } from '../../change.ts'
import { auditAway } from '../errors.ts'

export type BatchRow = typeof auditBatches.$inferSelect

const LEAF_BYTES = 16 + HASH_BYTES

/** Whoever makes a batch, or changes what hangs on it, is alone in doing so. @throws dependency.away (503) */
export async function lockChain(tx: Transaction): Promise<void> {
  try {
    await tx.execute(sql`set local lock_timeout = '10s'`)
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('audit.ingest', 0))`)
  } catch (error) {
    throw isLockTimeout(error) ? auditAway(error) : error
  }
}

const isLockTimeout = (error: unknown): boolean => (error as { cause?: { code?: string } }).cause?.code === '55P03'

export type ChainState = {
  /** The last batch's number; 0 where there is none. */
  head: number
  keyId: string
  logId: string
  isAdopted: boolean
  /** Whether anybody was ever erased. */
  hasErasures: boolean
  /** Batches that ClickHouse hasn't acknowledged. */
  unsettled: number[]
}

export async function readState(tx: ServerDetailsExecutor): Promise<ChainState> {
  const [row] = (await tx.execute(sql`select
    coalesce((select max(number) from audit_batches), 0)::int8 as head,
    (select id from audit_keys where retired_at is null order by position desc limit 1) as key_id,
    log_id, adopted_at is not null as is_adopted,
    exists (select from audit_erasures) as has_erasures,
    array(select number from audit_pending where acknowledged_at is null order by number) as unsettled
    from audit_log`)) as unknown as [
    | { head: string; key_id: string; log_id: string; is_adopted: boolean; has_erasures: boolean; unsettled: string[] }
    | undefined,
  ]
  if (!row) throw new Error('the audit log has not been made yet')
  return {
    head: Number(row.head),
    keyId: row.key_id,
    logId: row.log_id,
    isAdopted: row.is_adopted,
    hasErasures: row.has_erasures,
    unsettled: row.unsettled.map(Number),
  }
}

/** The log's subtrees, where the batches that completed them keep them. */
export async function readNodes(db: ServerDetailsExecutor, nodes: Node[]): Promise<NodeHash> {
  const numbers = [...new Set(nodes.map((node) => completedBy(node) + 1))]
  const rows =
    numbers.length === 0
      ? []
      : await db
          .select({ number: auditBatches.number, subtrees: auditBatches.subtrees })
          .from(auditBatches)
          .where(inArray(auditBatches.number, numbers))
  const kept = new Map(rows.map(({ number, subtrees }) => [number, subtrees]))
  return (node) => {
    const hash = kept.get(completedBy(node) + 1)?.subarray(node.level * HASH_BYTES, (node.level + 1) * HASH_BYTES)
    if (hash?.length !== HASH_BYTES) throw new MissingNode(completedBy(node) + 1)
    return hash
  }
}

/** A batch that is not there, or not whole: the log was tampered with. */
export class MissingNode extends Error {
  constructor(readonly batch: number) {
    super(`the log's batch ${batch} is missing`)
  }
}

const HEADER_COLUMNS = {
  number: auditBatches.number,
  kind: auditBatches.kind,
  size: auditBatches.size,
  start: auditBatches.start,
  root: auditBatches.root,
  previous: auditBatches.previous,
  at: auditBatches.at,
  keyId: auditBatches.keyId,
  subtrees: auditBatches.subtrees,
  signature: auditBatches.signature,
}
export type BatchHead = Omit<BatchRow, 'leaves' | 'leastId' | 'greatestId'>

export async function readHead(db: ServerDetailsExecutor): Promise<BatchHead | undefined> {
  const [row] = await db.select(HEADER_COLUMNS).from(auditBatches).orderBy(desc(auditBatches.number)).limit(1)
  return row
}

export async function readBatch(db: ServerDetailsExecutor, number: number): Promise<BatchRow | undefined> {
  const [row] = await readBatches(db, number, number)
  return row
}

export const readBatches = (db: ServerDetailsExecutor, first: number, last: number): Promise<BatchRow[]> =>
  db
    .select()
    .from(auditBatches)
    .where(between(auditBatches.number, first, last))
    .orderBy(asc(auditBatches.number))

const MOST_EVENTS = 10_000
const MOST_BATCHES = 2_000

/** The last batch, up to `last`, of a part of the log that begins with `first`: as many events as are held at once, or one batch. */
export async function endOfPart(db: ServerDetailsExecutor, first: number, last: number): Promise<number> {
  const { number, size } = auditBatches
  const sizes = await db
    .select({ number, size })
    .from(auditBatches)
    .where(between(number, first, last))
    .orderBy(asc(number))
    .limit(MOST_BATCHES)
  let events = 0
  let end = first
  for (const batch of sizes) {
    events += batch.size
    if (events > MOST_EVENTS && batch.number > first) break
    end = batch.number
  }
  return end
}

export const insertBatch = async (tx: ServerDetailsExecutor, row: BatchRow): Promise<void> =>
  void (await tx.insert(auditBatches).values(row))

export async function unsettledOf(db: ServerDetailsExecutor, numbers: number[]): Promise<Set<number>> {
  const rows = await db
    .select({ number: auditPending.number })
    .from(auditPending)
    .where(and(inArray(auditPending.number, numbers), isNull(auditPending.acknowledgedAt)))
  return new Set(rows.map(({ number }) => number))
}

/** Which of these people have been erased from the trail, or are to be. */
export async function erasedAmong(db: ServerDetailsExecutor, ids: string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await db
    .select({ subject: auditErasures.subject })
    .from(auditErasures)
    .where(sql`${auditErasures.subject} = any(string_to_array(${ids.join()}, ',')::uuid[])`)
  return new Set(rows.map(({ subject }) => subject))
}

/** For each event of a batch its id and its leaf's hash, as they are kept with it. */
export function packLeaves(leaves: { id: string; hash: Uint8Array }[]): Buffer {
  const packed = Buffer.alloc(leaves.length * LEAF_BYTES)
  for (const [i, { id, hash }] of leaves.entries()) {
    packed.write(id.replaceAll('-', ''), i * LEAF_BYTES, 'hex')
    packed.set(hash, i * LEAF_BYTES + 16)
  }
  return packed
}

export type Leaf = { id: string; hash: Buffer }

/** Their hashes alone: ids cost far more to read, and are needed where something is amiss. */
export function unpackHashes(packed: Uint8Array): Buffer[] {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
  return Array.from({ length: Math.floor(bytes.length / LEAF_BYTES) }, (_, i) =>
    bytes.subarray(i * LEAF_BYTES + 16, (i + 1) * LEAF_BYTES),
  )
}

export function unpackLeaves(packed: Uint8Array): Leaf[] {
  const bytes = Buffer.from(packed)
  return Array.from({ length: Math.floor(bytes.length / LEAF_BYTES) }, (_, i) => {
    const at = i * LEAF_BYTES
    const hex = bytes.toString('hex', at, at + 16)
    const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    return { id, hash: bytes.subarray(at + 16, at + LEAF_BYTES) }
  })
}
