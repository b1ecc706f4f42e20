import { auditCuts, auditErasures, type ServerDetailsExecutor } from '@conntext/db-server-details'
import type { Keyring } from '@conntext/keyring'
import { inArray } from 'drizzle-orm'
import type { Findings } from './findings.ts'
import { type KnownKeys, readKnownKeys } from './keys.ts'
import { cutText, erasureText, isSignedBy } from './signing.ts'

/** The signed records that explain what is missing. Those whose signature is wrong explain nothing. */
export type Records = {
  keys: KnownKeys['keys']
  /** Which of these people were erased. */
  erased(ids: string[]): Promise<Set<string>>
  /** Which events of these batches retention has removed: a bit for each. */
  cuts(batches: number[]): Promise<Map<number, Uint8Array>>
}

export async function readRecords(
  db: ServerDetailsExecutor,
  keyring: Keyring,
  logId: string,
  findings: Findings,
): Promise<Records> {
  const { keys, faults } = await readKnownKeys(db, keyring, logId)
  for (const fault of faults) findings.add('signatureWrong', {}, fault)
  const isSigned = (keyId: string, text: string, signature: Uint8Array): boolean => {
    const key = keys.get(keyId)?.key
    return key !== undefined && isSignedBy(key, text, signature)
  }
  const told = new Set<string>()
  const tellOnce = (what: string, where: { batch?: number }) => {
    if (told.has(what)) return
    told.add(what)
    findings.add('signatureWrong', where, what)
  }
  return {
    keys,
    async erased(ids) {
      if (ids.length === 0) return new Set()
      const rows = await db.select().from(auditErasures).where(inArray(auditErasures.subject, ids))
      const signed = rows.filter((row) => {
        if (isSigned(row.keyId, erasureText(logId, row), row.signature)) return true
        tellOnce(`The record that ${row.subject} was erased has a wrong signature.`, {})
        return false
      })
      return new Set(signed.map(({ subject }) => subject))
    },
    async cuts(batches) {
      if (batches.length === 0) return new Map()
      const rows = await db.select().from(auditCuts).where(inArray(auditCuts.batch, batches))
      const signed = rows.filter((row) => {
        if (isSigned(row.keyId, cutText(logId, row), row.signature)) return true
        tellOnce(`The record of what retention removed from batch ${row.batch} has a wrong signature.`, row)
        return false
      })
      return new Map(signed.map(({ batch, removed }) => [batch, removed]))
    },
  }
}

export const isCut = (removed: Uint8Array | undefined, index: number): boolean =>
  removed !== undefined && ((removed[index >> 3] ?? 0) & (1 << (index & 7))) !== 0
