import { credentials, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, eq, inArray, type SQL } from 'drizzle-orm'
import { userColumns } from '../users/queries.ts'
import { emailKey, usernameKey } from '../users/users.ts'

/** The account that a user name or an email address means: no user name has an `@`. */
export const namedAs = (login: string): SQL =>
  login.includes('@') ? eq(users.emailKey, emailKey(login)) : eq(users.usernameKey, usernameKey(login))

/** An account with a password; also of somebody who is banned, who is told so once they have proved who they are. */
export async function findAccount(db: ServerDetailsExecutor, login: string) {
  const [row] = await db
    .select({ ...userColumns, email: users.email, passwordHash: credentials.passwordHash })
    .from(users)
    .innerJoin(credentials, eq(credentials.userId, users.id))
    .where(and(namedAs(login), inArray(users.standing, ['active', 'left', 'banned'])))
  return row
}
