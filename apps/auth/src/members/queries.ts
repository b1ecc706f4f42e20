import { memberRoles, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, asc, eq, gt, inArray } from 'drizzle-orm'
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

/** Those in good standing, in the order in which they joined. */
export const listMembers = (db: ServerDetailsExecutor, page: PageRequest): Promise<MemberRow[]> =>
  db
    .select(memberColumns)
    .from(users)
    .where(and(eq(users.standing, 'active'), page.after ? gt(users.id, page.after) : undefined))
    .orderBy(asc(users.id))
    .limit(page.limit + 1)

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
