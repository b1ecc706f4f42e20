import { credentials, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, eq, inArray, isNotNull } from 'drizzle-orm'
import { namedAs } from '../login/queries.ts'

export async function setPasswordHash(
  tx: ServerDetailsExecutor,
  userId: string,
  { passwordHash, changedAt }: { passwordHash: string; changedAt: Date },
): Promise<void> {
  await tx
    .insert(credentials)
    .values({ userId, passwordHash, changedAt })
    .onConflictDoUpdate({ target: credentials.userId, set: { passwordHash, changedAt } })
}

/** An account that mail can be sent to, by its user name or email address, with a password or without. */
export async function findMailAccount(
  db: ServerDetailsExecutor,
  login: string,
): Promise<{ id: string; username: string; email: string } | undefined> {
  const [row] = await db
    .select({ id: users.id, username: users.username, email: users.email })
    .from(users)
    .where(
      and(namedAs(login), eq(users.kind, 'user'), inArray(users.standing, ['active', 'left']), isNotNull(users.email)),
    )
  return row && { ...row, email: row.email! }
}
