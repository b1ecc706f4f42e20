import { auditFor, systemActor } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { authOutbox } from '@conntext/db-server-details'
import type { Keyring } from '@conntext/keyring'
import { enqueue } from '@conntext/outbox'
import { auditEntry } from './changes.ts'

export { type AccountAdministration, createAccountAdministration } from './accounts/administration.ts'
export { authKeys, authSealed } from './keys/sealed.ts'
export { pruneSigningKeys, rotateSigningKey } from './keys/signing-keys.ts'

type Rotated = { values: number; masterKey: boolean; signingKeyId?: string }

/** Records, in the transaction that ends it, that what this service seals has been sealed anew. */
export const recordKeysRotated = (tx: Executor, keyring: Keyring, rotated: Rotated): Promise<void> =>
  enqueue(tx, authOutbox, [auditEntry(keyring, auditFor('auth')('keys.rotated', systemActor, null, rotated))])
