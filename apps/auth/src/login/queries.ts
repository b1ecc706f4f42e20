import { credentials, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, eq } from 'drizzle-orm'
import { userColumns } from '../users/queries.ts'
import { emailKey, usernameKey } from '../users/users.ts'

/** An account in good standing, by its user name or its email address: no user name has an `@`. */
export async function findAccount(db: ServerDetailsExecutor, login: string) {
  const named = login.includes('@') ? eq(users.emailKey, emailKey(login)) : eq(users.usernameKey, usernameKey(login))
  const [row] = await db
    .select({
      ...userColumns,
      usernameKey: users.usernameKey,
      emailKey: users.emailKey,
      passwordHash: credentials.passwordHash,
    })
    .from(users)
    .innerJoin(credentials, eq(credentials.userId, users.id))
    .where(and(named, eq(users.standing, 'active')))
  return row
}
