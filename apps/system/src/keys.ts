import type { ServerDetails } from '@conntext/db-server-details'
import type { Keyring } from '@conntext/keyring'
import { sql } from 'drizzle-orm'

// Any number will do, as long as every instance of every version uses the same.
const FIRST_START_LOCK = 7_261_012

/** Loads this service's data keys; instances that start at the same time wait for each other. */
export async function loadKeys(db: ServerDetails, keyring: Keyring): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${FIRST_START_LOCK})`)
    await keyring.load(tx)
  })
}
