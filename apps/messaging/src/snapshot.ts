import { isStatementTimeout } from '@conntext/database'
import type { Communications, CommunicationsExecutor } from '@conntext/db-communications'
import { sql } from 'drizzle-orm'

// What people look for takes a few milliseconds; what takes so long is given up.
const STATEMENT_TIMEOUT_MS = 5_000

/**
 * Reads the database as it is at one moment. None of the statements takes long, and each is planned for what it asks.
 * @throws what `tooSlow` makes of it where one takes too long
 */
export async function inSnapshot<T>(
  db: Communications,
  tooSlow: (cause: unknown) => Error,
  work: (tx: CommunicationsExecutor) => Promise<T>,
): Promise<T> {
  try {
    return await db.transaction(async (tx) => {
      await prepare(tx)
      return work(tx)
    })
  } catch (error) {
    throw isStatementTimeout(error) ? tooSlow(error) : error
  }
}

/** Before anything else in the transaction. */
async function prepare(tx: CommunicationsExecutor): Promise<void> {
  const isolation = tx.execute(sql`set transaction isolation level repeatable read, read only`)
  const settings = tx.execute(sql`select set_config('statement_timeout', ${String(STATEMENT_TIMEOUT_MS)}, true),
    set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)`)
  await Promise.all([isolation, settings])
}
