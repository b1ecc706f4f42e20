import type { Executor } from '@conntext/database'
import { type Logger, newId } from '@conntext/kernel'
import { and, eq, inArray, lt, sql } from 'drizzle-orm'
import type { Claimed, IdempotencyKey, IdempotencyStore, StoredAnswer } from './store.ts'
import type { IdempotencyTable } from './table.ts'

const PRUNE_EVERY_MS = 60_000
const PRUNED_AT_ONCE = 10_000

export type StoreOptions = {
  db: Executor
  table: IdempotencyTable
  log: Logger
  /** How long an answer is kept, in seconds; a day unless told. */
  keepSeconds?: number
  /**
   * After how many seconds a claim without an answer lapses, because the process that had it must have died; longer
   * than any request takes. A minute unless told.
   */
  claimSeconds?: number
}

/** Keeps answers in a Postgres table. The clock is the database's, so that instances agree. */
export function idempotencyStore(options: StoreOptions): IdempotencyStore {
  const { db, table, log, keepSeconds = 86_400, claimSeconds = 60 } = options
  const own = ({ id }: IdempotencyKey, claim: string) => and(eq(table.id, id), eq(table.claim, claim))
  let pruned = Number.NEGATIVE_INFINITY

  async function pruneNowAndThen(): Promise<void> {
    if (performance.now() - pruned < PRUNE_EVERY_MS) return
    pruned = performance.now()
    const gone = db.select({ id: table.id }).from(table).where(lt(table.expiresAt, sql`now()`)).limit(PRUNED_AT_ONCE)
    await db
      .delete(table)
      .where(inArray(table.id, gone))
      .catch((error) => log.warn({ err: error }, 'expired idempotency keys could not be pruned'))
  }

  return {
    async claim(key) {
      await pruneNowAndThen()
      // What is found taken may be given back before it is looked at: then it is there to take.
      for (;;) {
        const claim = newId()
        if (await take(db, table, { ...key, claim, keepSeconds, claimSeconds })) return { state: 'claimed', claim }
        const found = await look(db, table, key)
        if (found) return found
      }
    },

    async keep(key, claim, { status, answer }: StoredAnswer) {
      await db.update(table).set({ status, answer }).where(own(key, claim))
    },

    async release(key, claim) {
      await db.delete(table).where(own(key, claim))
    },
  }
}

type Taking = IdempotencyKey & { claim: string; keepSeconds: number; claimSeconds: number }

/** Whether the key was free: never used, expired, or claimed by a request of the same content that never ended. */
async function take(db: Executor, table: IdempotencyTable, taking: Taking): Promise<boolean> {
  const { id, request, claim, keepSeconds, claimSeconds } = taking
  const fresh = {
    request,
    claim,
    claimedUntil: sql`now() + make_interval(secs => ${claimSeconds})`,
    expiresAt: sql`now() + make_interval(secs => ${keepSeconds})`,
    status: null,
    answer: null,
  }
  const lapsed = sql`${table.status} is null and ${table.claimedUntil} < now() and ${table.request} = ${request}`
  const rows = await db
    .insert(table)
    .values({ id, ...fresh })
    .onConflictDoUpdate({
      target: table.id,
      set: fresh,
      setWhere: sql`${table.expiresAt} < now() or (${lapsed})`,
    })
    .returning({ claim: table.claim })
  return rows.length > 0
}

async function look(db: Executor, table: IdempotencyTable, key: IdempotencyKey): Promise<Claimed | undefined> {
  const [row] = await db
    .select({ request: table.request, status: table.status, answer: table.answer })
    .from(table)
    .where(eq(table.id, key.id))
  if (!row) return undefined
  if (!Buffer.from(row.request).equals(key.request)) return { state: 'mismatch' }
  if (row.status !== null && row.answer !== null) return { state: 'answered', status: row.status, answer: row.answer }
  return { state: 'underWay' }
}
