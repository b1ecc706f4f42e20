import { systemActor } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import type { Keyring } from '@conntext/keyring'
import { rotateAuditKey } from './audit/chain/keys.ts'
import { lockChain } from './audit/chain/queries.ts'
import type { Transaction } from './change.ts'
import { recordAudit, systemAudit } from './recorder.ts'

export { latestCheckpoint } from './audit/chain/checkpoints.ts'
export { keptCheckpoints } from './audit/chain/kept-checkpoints.ts'
export { listAuditKeys } from './audit/chain/keys.ts'
export { createAuditChain } from './audit/chain/service.ts'
export { askVerification, carryOut, getVerification } from './audit/chain/verifications.ts'
export { verifyLog } from './audit/chain/verify.ts'
export { makeWaiting } from './backups/making.ts'
export { findBackup, listBackupRows, removeBackup, toBackup } from './backups/queries.ts'
export { requestBackup } from './backups/service.ts'
export { loadKeys, systemKeys, systemSealed } from './keys.ts'
export { operateMaintenance } from './maintenance/service.ts'

/** Has the audit log signed by a new key; answers its id. @throws StartError where there is no log yet */
export async function rotateAuditLogKey(tx: Transaction, keyring: Keyring): Promise<string> {
  await lockChain(tx)
  return rotateAuditKey(tx, keyring)
}

/** Records, in the restored server, that it was. */
export const recordRestored = (
  tx: Executor,
  id: string,
  restored: { madeAt: string; release: string; missingObjects: number },
): Promise<void> => recordAudit(tx, [systemAudit('backup.restored', systemActor, id, restored)])

/** Records that the operator has said what time it is. */
export const recordClockConfirmed = (tx: Executor, at: Date): Promise<void> =>
  recordAudit(tx, [systemAudit('system.clockConfirmed', systemActor, null, { at: at.toISOString() })])

/** Records, in the transaction that ends it, that what this service seals has been sealed anew. */
export const recordKeysRotated = (
  tx: Executor,
  rotated: { values: number; masterKey: boolean; auditKeyId?: string },
): Promise<void> => recordAudit(tx, [systemAudit('keys.rotated', systemActor, null, rotated)])
