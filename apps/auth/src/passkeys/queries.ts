import { passkeys, type ServerDetailsExecutor } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, asc, eq, gt, lt, or, sql } from 'drizzle-orm'

export type PasskeyRow = typeof passkeys.$inferSelect

/** Oldest first. */
export const listPasskeys = (db: ServerDetailsExecutor, userId: string, page: PageRequest): Promise<PasskeyRow[]> =>
  db
    .select()
    .from(passkeys)
    .where(and(eq(passkeys.userId, userId), page.after ? gt(passkeys.id, page.after) : undefined))
    .orderBy(asc(passkeys.id))
    .limit(page.limit + 1)

/** All of an account's, as a ceremony names them. */
export const listCredentials = (db: ServerDetailsExecutor, userId: string) =>
  db
    .select({ credentialId: passkeys.credentialId, transports: passkeys.transports })
    .from(passkeys)
    .where(eq(passkeys.userId, userId))
    .orderBy(asc(passkeys.id))

export async function findCredential(
  db: ServerDetailsExecutor,
  credentialId: Uint8Array,
): Promise<PasskeyRow | undefined> {
  const [row] = await db.select().from(passkeys).where(eq(passkeys.credentialId, credentialId))
  return row
}

export async function insertPasskey(
  tx: ServerDetailsExecutor,
  row: Omit<PasskeyRow, 'lastUsedAt'>,
): Promise<PasskeyRow> {
  const [made] = await tx.insert(passkeys).values(row).returning()
  return made!
}

type Own = { id: string; userId: string }
const own = ({ id, userId }: Own) => and(eq(passkeys.id, id), eq(passkeys.userId, userId))

export async function renamePasskey(
  tx: ServerDetailsExecutor,
  which: Own,
  name: string,
): Promise<PasskeyRow | undefined> {
  const [row] = await tx.update(passkeys).set({ name }).where(own(which)).returning()
  return row
}

export async function deletePasskey(tx: ServerDetailsExecutor, which: Own): Promise<boolean> {
  const deleted = await tx.delete(passkeys).where(own(which)).returning({ id: passkeys.id })
  return deleted.length > 0
}

/**
 * Notes a use; false when the authenticator's counter hasn't risen since the last one (WebAuthn Level 3, 6.1.1). Those
 * that don't count, as synced ones, say 0 each time. Decided by the update: of two with one counter, one is noted.
 */
export async function notePasskeyUse(
  tx: ServerDetailsExecutor,
  { id, counter, backedUp, now }: { id: string; counter: number; backedUp: boolean; now: Date },
): Promise<boolean> {
  const risen = or(lt(passkeys.counter, counter), and(eq(passkeys.counter, 0), sql`${counter}::bigint = 0`))
  const noted = await tx
    .update(passkeys)
    .set({ counter, backedUp, lastUsedAt: now })
    .where(and(eq(passkeys.id, id), risen))
    .returning({ id: passkeys.id })
  return noted.length > 0
}
