import { auditBatches, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { inArray, sql } from 'drizzle-orm'
import { unpackLeaves } from './queries.ts'

/** So many ids of the latest batches are remembered. */
const REMEMBERED = 100_000
/** Ids that were made so far apart are looked for apart: an old event among new ones is no reason to look everywhere. */
const APART_MS = 10_000
const BATCHES_AT_ONCE = 50

/**
 * Which events the log holds. It is asked in Postgres, within the transaction that appends to it: a batch says between
 * which ids its events' are, ids grow with time, and so a repeat can be only in a few batches, nearly always the latest,
 * whose ids are remembered.
 */
export class KnownEvents {
  readonly #ids = new Set<string>()
  readonly #batches = new Map<number, string[]>()

  /** Remembers a batch that has been committed. */
  add(number: number, ids: string[]): void {
    this.#batches.set(number, ids)
    for (const id of ids) this.#ids.add(id)
    for (const [oldest, gone] of this.#batches) {
      if (this.#ids.size <= REMEMBERED || oldest === number) return
      this.#batches.delete(oldest)
      for (const id of gone) this.#ids.delete(id)
    }
  }

  /** Those of the ids that the log holds. Under the chain's lock. */
  async among(tx: ServerDetailsExecutor, ids: string[]): Promise<Set<string>> {
    const known = new Set(ids.filter((id) => this.#ids.has(id)))
    const wanted = new Set(ids)
    const unread = (await batchesAround(tx, clustersOf(ids))).filter((number) => !this.#batches.has(number))
    for (let at = 0; at < unread.length; at += BATCHES_AT_ONCE) {
      for (const id of await idsOf(tx, unread.slice(at, at + BATCHES_AT_ONCE))) if (wanted.has(id)) known.add(id)
    }
    return known
  }
}

/** The batches that may hold ids of these ranges: asked for at once, for events that were made far apart are as many ranges. */
async function batchesAround(tx: ServerDetailsExecutor, ranges: Range[]): Promise<number[]> {
  if (ranges.length === 0) return []
  const list = (ids: string[]) => sql`unnest(string_to_array(${ids.join()}, ',')::uuid[])`
  const { number, leastId, greatestId } = auditBatches
  const rows = (await tx.execute(sql`
    select distinct ${number} as number
    from rows from (${list(ranges.map(({ least }) => least))}, ${list(ranges.map(({ greatest }) => greatest))})
      as wanted (least, greatest)
    join ${auditBatches} on ${greatestId} >= wanted.least and ${leastId} <= wanted.greatest`)) as unknown as {
    number: string
  }[]
  return rows.map((row) => Number(row.number))
}

async function idsOf(tx: ServerDetailsExecutor, numbers: number[]): Promise<string[]> {
  const rows = await tx
    .select({ leaves: auditBatches.leaves })
    .from(auditBatches)
    .where(inArray(auditBatches.number, numbers))
  return rows.flatMap(({ leaves }) => unpackLeaves(leaves).map(({ id }) => id))
}

const madeAt = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

type Range = { least: string; greatest: string }

/** The ids, as ranges that lie apart in time. */
function clustersOf(ids: string[]): Range[] {
  const clusters: Range[] = []
  for (const id of [...ids].sort()) {
    const last = clusters.at(-1)
    if (last && madeAt(id) - madeAt(last.greatest) < APART_MS) last.greatest = id
    else clusters.push({ least: id, greatest: id })
  }
  return clusters
}

/** Between which ids these are. */
export function rangeOf(ids: string[]): { leastId: string; greatestId: string } {
  let [leastId, greatestId] = [ids[0]!, ids[0]!]
  for (const id of ids) {
    if (id < leastId) leastId = id
    if (id > greatestId) greatestId = id
  }
  return { leastId, greatestId }
}
