import type { AuditProof } from '@conntext/contracts'
import { type ChainedRow, selectChained } from '@conntext/db-audit'
import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import type { Caller } from '@conntext/http'
import { equalHashes, inclusionPath, planInclusion } from '@conntext/merkle'
import { auditErrors, fromAudit } from '../errors.ts'
import type { AuditDeps } from '../service.ts'
import { windowsOf } from '../windows.ts'
import { latestCheckpoint } from './checkpoints.ts'
import { base64, headerText } from './header.ts'
import { leafHash, leafText } from './leaf.ts'
import { type BatchHead, readBatch, readNodes, readState, unpackLeaves } from './queries.ts'

/** The header that a batch's row stands for. */
export const headerOf = (log: string, row: Omit<BatchHead, 'subtrees' | 'signature'>) => ({
  at: row.at.toISOString(),
  key: row.keyId,
  kind: row.kind,
  log,
  number: row.number,
  previous: row.previous && base64(row.previous),
  root: base64(row.root),
  size: row.size,
  start: row.start,
})

/** The proof of one event. @throws audit.notFound (404), audit.notProven (409), audit.tampered (409) */
export async function eventProof(
  deps: AuditDeps & { db: ServerDetailsExecutor },
  caller: Caller,
  id: string,
): Promise<AuditProof> {
  await deps.recorder.queried(caller, ['id'])
  for (const window of windowsOf(id)) {
    const row = await fromAudit(selectChained(deps.audit, id, window))
    if (row) return proofOf(deps.db, row)
  }
  throw auditErrors.notFound()
}

/**
 * All that it takes to verify one event without us: its leaf, what opens the leaf's hashes, the way from the leaf to its
 * batch's root, the batch's header, and the way from there to a signed checkpoint.
 * @throws audit.notProven (409), audit.tampered (409)
 */
async function proofOf(db: ServerDetailsExecutor, row: ChainedRow): Promise<AuditProof> {
  if (row.batch === 0) throw auditErrors.notProven('It has no place in the log.')
  const [batch, { logId }, checkpoint] = await Promise.all([
    readBatch(db, row.batch),
    readState(db),
    latestCheckpoint(db),
  ])
  const leaves = batch ? unpackLeaves(batch.leaves).map(({ hash }) => hash) : []
  const leaf = leaves[row.batch_index]
  if (!batch || !leaf || !equalHashes(leaf, leafHash(row))) {
    throw auditErrors.tampered(`Verify the log around batch ${row.batch}.`)
  }
  const plan = planInclusion(batch.number - 1, checkpoint.size)
  const path = plan.make(await readNodes(db, plan.nodes))
  return {
    eventId: row.id,
    leaf: leafText(row),
    origin: row.origin_salt === '' ? null : { salt: row.origin_salt, address: row.address, userAgent: row.user_agent },
    personal: row.personal_salt === '' ? null : { salt: row.personal_salt, data: row.personal, reason: row.reason },
    index: row.batch_index,
    path: inclusionPath(leaves, row.batch_index).map(base64),
    header: headerText(headerOf(logId, batch)),
    headerPath: path.map(base64),
    checkpoint: checkpoint.note,
  }
}
