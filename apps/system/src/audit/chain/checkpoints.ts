import type { AuditCheckpoint, AuditConsistency, AuditKeys } from '@conntext/contracts'
import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { planConsistency, planRoot } from '@conntext/merkle'
import { auditErrors } from '../errors.ts'
import { base64 } from './header.ts'
import { listAuditKeys } from './keys.ts'
import { originOf, signedNote, verifierKey } from './note.ts'
import { readHead, readNodes, readState } from './queries.ts'

/** The latest checkpoint. @throws audit.noBatches (404) */
export async function latestCheckpoint(db: ServerDetailsExecutor): Promise<AuditCheckpoint> {
  const [head, state, keys] = await Promise.all([readHead(db), readState(db), listAuditKeys(db)])
  if (!head) throw auditErrors.noBatches()
  const root = await rootAt(db, head.number)
  const checkpoint = { origin: originOf(state.logId), size: head.number, root }
  const key = keys.find(({ id }) => id === head.keyId)
  if (!key) throw auditErrors.tampered('The key of the last batch is missing.')
  return {
    origin: checkpoint.origin,
    size: head.number,
    events: head.start + head.size,
    root: base64(root),
    at: head.at.toISOString(),
    keyId: head.keyId,
    note: signedNote(checkpoint, key.publicKey, head.signature),
  }
}

export async function rootAt(db: ServerDetailsExecutor, size: number): Promise<Uint8Array> {
  const plan = planRoot(size)
  return plan.make(await readNodes(db, plan.nodes))
}

/** Proves that the log's first `second` batches begin with its first `first`. @throws audit.badRange (422) */
export async function consistencyProof(
  db: ServerDetailsExecutor,
  first: number,
  second: number | undefined,
): Promise<AuditConsistency> {
  const size = (await readHead(db))?.number ?? 0
  const to = second ?? size
  if (first < 1 || first > to || to > size) throw auditErrors.badRange(`The log has ${size} batches.`)
  const plan = planConsistency(first, to)
  const path = plan.make(await readNodes(db, plan.nodes))
  const [firstRoot, secondRoot] = await Promise.all([rootAt(db, first), rootAt(db, to)])
  return { first, firstRoot: base64(firstRoot), second: to, secondRoot: base64(secondRoot), path: path.map(base64) }
}

/** All keys that the log was ever signed with, for whoever verifies it. */
export async function publicKeys(db: ServerDetailsExecutor): Promise<AuditKeys> {
  const [{ logId }, rows] = await Promise.all([readState(db), listAuditKeys(db)])
  const origin = originOf(logId)
  return {
    origin,
    keys: rows.map(({ id, publicKey, createdAt, retiredAt, endorsement }) => ({
      id,
      publicKey: base64(publicKey),
      verifierKey: verifierKey(origin, publicKey),
      createdAt: createdAt.toISOString(),
      retiredAt: retiredAt?.toISOString() ?? null,
      endorsement: endorsement && base64(endorsement),
    })),
  }
}
