import { everyoneDefaults } from '@conntext/contracts'
import { authorityState, nameKey, roles, type ServerDetails } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { sql } from 'drizzle-orm'
import { STATE_ID } from './authority/queries.ts'
import type { AccessTokens } from './keys/access-tokens.ts'
import { EVERYONE } from './roles/roles.ts'

// Any number will do, as long as every instance of every version uses the same.
const FIRST_START_LOCK = 7_261_011

type Keys = { keyring: Keyring; tokens: AccessTokens }

/**
 * Loads the keys, and makes what a new server lacks: keys, the state's row, @everyone. Instances that start at the
 * same time wait for each other.
 * @throws when the master key isn't this database's
 */
export async function makeReady(db: ServerDetails, { keyring, tokens }: Keys): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${FIRST_START_LOCK})`)
    await keyring.load(tx)
    await tokens.load(tx)
    await tx.insert(authorityState).values({ id: STATE_ID }).onConflictDoNothing()
    await tx
      .insert(roles)
      .values({
        id: newId(),
        name: EVERYONE,
        nameKey: nameKey(EVERYONE),
        position: 0,
        permissions: everyoneDefaults,
        isEveryone: true,
      })
      .onConflictDoNothing()
  })
}
