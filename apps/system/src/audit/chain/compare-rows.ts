import { type Audit, type ChainedRow, selectBatches } from '@conntext/db-audit'
import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { equalHashes } from '@conntext/merkle'
import { fromAudit } from '../errors.ts'
import { mayLackOrigin, mayLackPersonal } from './erasure.ts'
import type { Findings } from './findings.ts'
import { isOriginErased, isPersonalErased, leafHash } from './leaf.ts'
import { type BatchRow, readBatch, unpackHashes, unpackLeaves, unsettledOf } from './queries.ts'
import { isCut, type Records } from './records.ts'

type Deps = { db: ServerDetailsExecutor; audit: Audit }
type Told = { records: Records; findings: Findings }
type Fault = Parameters<Findings['add']>

/**
 * Compares ClickHouse's rows of some batches with what the batches say of them. A batch in which something is amiss is
 * read once more before it is told of: rows may be on their way, or be erased or cut at this moment.
 */
export async function compareRows(
  deps: Deps,
  { batches, rows, records, findings }: Told & { batches: BatchRow[]; rows: ChainedRow[] },
): Promise<void> {
  const byBatch = Map.groupBy(rows, ({ batch }) => batch)
  const suspect: BatchRow[] = []
  for (const batch of batches) {
    const found = byBatch.get(batch.number) ?? []
    if (isExact(unpackHashes(batch.leaves), found) && !found.some(isErased)) continue
    suspect.push(batch)
  }
  if (suspect.length === 0) return
  const elsewhere = placesOf(batches)
  for (const { number } of suspect) {
    const [batch] = [await readBatch(deps.db, number)]
    if (!batch) continue
    // Asked before the rows are read: what arrives in between would neither be among them nor on its way any more.
    const isSettled = !(await unsettledOf(deps.db, [number])).has(number)
    const again = await fromAudit(selectBatches(deps.audit, number, number))
    for (const fault of await faultsOf(batch, again, { records, elsewhere, isSettled })) findings.add(...fault)
  }
}

const isErased = (row: ChainedRow): boolean => isOriginErased(row) || isPersonalErased(row)

/** Whether each event has its one row, as it was. */
const isExact = (hashes: Buffer[], rows: ChainedRow[]): boolean =>
  rows.length === hashes.length &&
  rows.every((row, index) => row.batch_index === index && equalHashes(leafHash(row), hashes[index]!))

/** Where each of the events belongs. */
const placesOf = (batches: BatchRow[]): Map<string, string> =>
  new Map(
    batches.flatMap(({ number, leaves }) =>
      unpackLeaves(leaves).map(({ id }, index) => [id, `${number}/${index}`] as const),
    ),
  )

async function faultsOf(
  batch: BatchRow,
  rows: ChainedRow[],
  { records, elsewhere, isSettled }: { records: Records; elsewhere: Map<string, string>; isSettled: boolean },
): Promise<Fault[]> {
  const { number } = batch
  const leaves = unpackLeaves(batch.leaves)
  const removed = (await records.cuts([number])).get(number)
  const people = rows.filter(isErased).flatMap(({ actor_id, target_id }) => [actor_id, target_id])
  const erased = await records.erased([...new Set(people.filter((id) => id !== null && UUID.test(id)))] as string[])
  const faults: Fault[] = []
  const filled = new Set<number>()
  for (const row of rows) {
    const index = row.batch_index
    const leaf = leaves[index]
    const where = { batch: number, index, eventId: row.id }
    if (leaf && row.id === leaf.id && !filled.has(index)) {
      filled.add(index)
      if (!equalHashes(leafHash(row), leaf.hash)) faults.push(['changed', where, 'The row is not as it was written.'])
      else if (!isErasureRecorded(row, erased)) {
        faults.push(['erased', where, 'Personal data was removed from the row, and no erasure says so.'])
      }
    } else faults.push(misplaced(row, where, elsewhere))
  }
  if (!isSettled) return faults
  const missing = leaves.flatMap(({ id }, index) => (filled.has(index) || isCut(removed, index) ? [] : [{ id, index }]))
  for (const { id, index } of missing) {
    // Told of as a row that stands in a wrong place.
    if (rows.some((row) => row.id === id)) continue
    faults.push(['removed', { batch: number, index, eventId: id }, 'The row is missing.'])
  }
  return faults
}

function misplaced(row: ChainedRow, where: Fault[1], elsewhere: Map<string, string>): Fault {
  const place = elsewhere.get(row.id)
  return place === undefined || place === `${where.batch}/${where.index}`
    ? ['added', where, 'A row that was never part of the log.']
    : ['reordered', where, `The row belongs at ${place}.`]
}

function isErasureRecorded(row: ChainedRow, erased: Set<string>): boolean {
  const origin = !isOriginErased(row) || mayLackOrigin(row, erased)
  return origin && (!isPersonalErased(row) || mayLackPersonal(row, erased))
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
