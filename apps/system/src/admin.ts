import { systemActor } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { recordAudit, systemAudit } from './recorder.ts'

export { systemKeys, systemSealed } from './keys.ts'

/** Records, in the transaction that ends it, that what this service seals has been sealed anew. */
export const recordKeysRotated = (tx: Executor, rotated: { values: number; masterKey: boolean }): Promise<void> =>
  recordAudit(tx, [systemAudit('keys.rotated', systemActor, null, rotated)])
