import type { KeyObject } from 'node:crypto'
import { auditKeys, auditLog, type ServerDetailsExecutor } from '@conntext/db-server-details'
import { newId, StartError } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { asc, desc, eq, isNull } from 'drizzle-orm'
import {
  endorsementText,
  importPrivateKey,
  importPublicKey,
  isSignedBy,
  newKeyPair,
  sign,
  thumbprint,
} from './signing.ts'

export type AuditKeyRow = typeof auditKeys.$inferSelect
export type Signer = { id: string; publicKey: Uint8Array; sign(text: string): Buffer }

/** What an audit key is sealed for. */
export const auditKeyContext = (id: string): string => `audit-key:${id}`

const PUBLIC_KEY_BYTES = 32

/** The log's id, and its first key: made where there is none. Under a lock of the caller's. */
export async function loadLog(tx: ServerDetailsExecutor, keyring: Keyring): Promise<string> {
  const [found] = await tx.select({ logId: auditLog.logId }).from(auditLog)
  if (found) return found.logId
  const logId = newId()
  await tx.insert(auditLog).values({ id: 1, logId })
  await insertKey(tx, keyring, { position: 1, endorsement: null, pair: newKeyPair() })
  return logId
}

async function insertKey(
  tx: ServerDetailsExecutor,
  keyring: Keyring,
  {
    position,
    endorsement,
    pair,
  }: { position: number; endorsement: Buffer | null; pair: ReturnType<typeof newKeyPair> },
): Promise<void> {
  const { id, publicKey, privateKey } = pair
  const sealed = keyring.seal(privateKey, auditKeyContext(id))
  await tx.insert(auditKeys).values({ id, position, publicKey, ...sealed, endorsement, createdAt: new Date() })
}

/** Oldest first. */
export const listAuditKeys = (db: ServerDetailsExecutor): Promise<AuditKeyRow[]> =>
  db.select().from(auditKeys).orderBy(asc(auditKeys.position))

/** Signs with the key that is in force. Private keys that have been opened are kept. */
export function createSigners(keyring: Keyring) {
  const known = new Map<string, Signer>()
  return async (db: ServerDetailsExecutor, id?: string): Promise<Signer> => {
    const kept = id === undefined ? undefined : known.get(id)
    if (kept) return kept
    const [row] = await db
      .select()
      .from(auditKeys)
      .where(isNull(auditKeys.retiredAt))
      .orderBy(desc(auditKeys.position))
      .limit(1)
    if (!row) throw new Error('the audit log has no key that is in force')
    const key = importPrivateKey(await keyring.open(row, auditKeyContext(row.id)))
    const signer = { id: row.id, publicKey: row.publicKey, sign: (text: string) => sign(key, text) }
    known.clear()
    known.set(row.id, signer)
    return signer
  }
}
export type Signers = ReturnType<typeof createSigners>

/**
 * Has a new key sign from now on: the old one signs it, and is forgotten. Under the chain's lock, so that no batch is
 * signed by an older key than the one before it. Answers the new key's id.
 */
export async function rotateAuditKey(tx: ServerDetailsExecutor, keyring: Keyring): Promise<string> {
  const [log] = await tx.select({ logId: auditLog.logId }).from(auditLog)
  if (!log) throw new StartError('There is no audit log yet: start the server once first.')
  const old = (await listAuditKeys(tx)).at(-1)!
  const opened = importPrivateKey(await keyring.open(old, auditKeyContext(old.id)))
  const pair = newKeyPair()
  const endorsement = sign(opened, endorsementText(log.logId, pair))
  const mark = keyring.seal(old.publicKey, auditKeyContext(old.id))
  await tx
    .update(auditKeys)
    .set({ ...mark, retiredAt: new Date() })
    .where(eq(auditKeys.id, old.id))
  await insertKey(tx, keyring, { position: old.position + 1, endorsement, pair })
  return pair.id
}

/** The keys by which signatures are verified, in their order; and what is wrong with them. */
export type KnownKeys = {
  keys: Map<string, { position: number; publicKey: Uint8Array; key: KeyObject }>
  faults: string[]
}

/**
 * Reads the keys as somebody does who trusts nobody: each has to be endorsed by the one before it, and its seal to open,
 * which nobody can make who doesn't have the master key.
 */
export async function readKnownKeys(db: ServerDetailsExecutor, keyring: Keyring, logId: string): Promise<KnownKeys> {
  const known: KnownKeys = { keys: new Map(), faults: [] }
  let before: KeyObject | undefined
  for (const row of await listAuditKeys(db)) {
    const { id, position, publicKey } = row
    const key = importPublicKey(publicKey)
    if (!(await isOurs(keyring, row))) {
      known.faults.push(`The audit key ${id} was not made by this server.`)
      continue
    }
    if (before && !(row.endorsement && isSignedBy(before, endorsementText(logId, row), row.endorsement))) {
      known.faults.push(`The audit key ${id} is not endorsed by the one before it.`)
    } else known.keys.set(id, { position, publicKey, key })
    before = key
  }
  return known
}

async function isOurs(keyring: Keyring, row: AuditKeyRow): Promise<boolean> {
  const opened = await keyring.open(row, auditKeyContext(row.id)).catch(() => undefined)
  if (!opened || row.id !== thumbprint(row.publicKey)) return false
  if (opened.length === PUBLIC_KEY_BYTES) return opened.equals(row.publicKey)
  const text = 'the private key belongs to the public one'
  return isSignedBy(importPublicKey(row.publicKey), text, sign(importPrivateKey(opened), text))
}
