import {
  auditKeys,
  auditPending,
  invites,
  type ServerDetails,
  systemDataKeys,
  systemOutbox,
} from '@conntext/db-server-details'
import { type Keyring, type SealedPlaces, sealedColumn } from '@conntext/keyring'
import { sql } from 'drizzle-orm'
import { pendingContext } from './audit/chain/append.ts'
import { auditKeyContext } from './audit/chain/keys.ts'
import { inviteCodeContext } from './invites/service.ts'

// Any number will do, as long as every instance of every version uses the same.
const FIRST_START_LOCK = 7_261_012

export const systemKeys = { table: systemDataKeys, service: 'system' }

/** Everything that system has sealed under its data keys. */
export const systemSealed: SealedPlaces = {
  columns: [
    sealedColumn({
      table: invites,
      id: invites.id,
      value: invites.codeSealed,
      dataKeyId: invites.dataKeyId,
      context: inviteCodeContext,
    }),
    sealedColumn({
      table: auditKeys,
      id: auditKeys.id,
      value: auditKeys.sealed,
      dataKeyId: auditKeys.dataKeyId,
      context: auditKeyContext,
    }),
    sealedColumn({
      table: auditPending,
      id: auditPending.number,
      value: auditPending.rows,
      dataKeyId: auditPending.dataKeyId,
      context: pendingContext,
    }),
  ],
  documents: [systemOutbox.payload],
}

/** Loads this service's data keys; instances that start at the same time wait for each other. */
export async function loadKeys(db: ServerDetails, keyring: Keyring): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`select pg_advisory_xact_lock(${FIRST_START_LOCK})`)
    await keyring.load(tx)
  })
}
