import { memberRoles, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, asc, eq, exists, gt, inArray, or, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { roleIdsOfUser } from '../authority/queries.ts'
import { type UserRow, userColumns } from '../users/queries.ts'

const memberColumns = {
  ...userColumns,
  nickname: users.nickname,
  timedOutUntil: users.timedOutUntil,
  joinedAt: users.joinedAt,
  roleIds: roleIdsOfUser,
}
export type MemberRow = UserRow & {
  nickname: string | null
  timedOutUntil: Date | null
  joinedAt: Date
  roleIds: string[]
}

export type MemberFilter = { roleId?: string | undefined; prefix?: string | undefined }

/** Those in good standing, in the order in which their accounts were made; `prefix` is in lower case. */
export const listMembers = (
  db: ServerDetailsExecutor,
  page: PageRequest,
  { roleId, prefix }: MemberFilter = {},
): Promise<MemberRow[]> =>
  db
    .select(memberColumns)
    .from(users)
    .where(
      and(
        eq(users.standing, 'active'),
        page.after === undefined ? undefined : gt(users.id, page.after),
        roleId === undefined ? undefined : hasRole(db, roleId),
        prefix === undefined ? undefined : isNamed(prefix),
      ),
    )
    .orderBy(asc(users.id))
    .limit(page.limit + 1)

const hasRole = (db: ServerDetailsExecutor, roleId: string) =>
  exists(
    db
      .select({ one: sql`1` })
      .from(memberRoles)
      .where(and(eq(memberRoles.userId, users.id), eq(memberRoles.roleId, roleId))),
  )

// Members number some ten thousand at most: looking through their names takes milliseconds.
const isNamed = (prefix: string) => {
  const begins = (name: PgColumn) => sql`starts_with(lower(${name}), ${prefix})`
  return or(sql`starts_with(${users.usernameKey}, ${prefix})`, begins(users.displayName), begins(users.nickname))
}

export async function findMember(db: ServerDetailsExecutor, id: string): Promise<MemberRow | undefined> {
  const [row] = await db
    .select(memberColumns)
    .from(users)
    .where(and(eq(users.id, id), eq(users.standing, 'active')))
  return row
}

export async function giveRoles(tx: ServerDetailsExecutor, userId: string, roleIds: string[]): Promise<void> {
  if (roleIds.length === 0) return
  await tx.insert(memberRoles).values(roleIds.map((roleId) => ({ userId, roleId })))
}

export async function takeRoles(tx: ServerDetailsExecutor, userId: string, roleIds: string[]): Promise<void> {
  if (roleIds.length === 0) return
  await tx.delete(memberRoles).where(and(eq(memberRoles.userId, userId), inArray(memberRoles.roleId, roleIds)))
}
