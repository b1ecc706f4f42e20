import { type ServerDetailsExecutor, signingKeys } from '@conntext/db-server-details'
import { asc, isNull } from 'drizzle-orm'

export const listPublicKeys = (db: ServerDetailsExecutor) =>
  db
    .select({ id: signingKeys.id, publicKey: signingKeys.publicKey })
    .from(signingKeys)
    .orderBy(asc(signingKeys.createdAt))

export const listLivingSigningKeys = (db: ServerDetailsExecutor) =>
  db.select().from(signingKeys).where(isNull(signingKeys.retiredAt)).orderBy(asc(signingKeys.createdAt))

export async function insertSigningKey(db: ServerDetailsExecutor, row: typeof signingKeys.$inferInsert): Promise<void> {
  await db.insert(signingKeys).values(row)
}
