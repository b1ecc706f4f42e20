import { roles, type ServerDetailsExecutor } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, asc, count, eq, gt, gte, inArray, lte, ne, sql } from 'drizzle-orm'

export type RoleRow = typeof roles.$inferSelect

/** In the order of their making: unlike a position it doesn't change between two pages. */
export const listRoles = (db: ServerDetailsExecutor, page: PageRequest): Promise<RoleRow[]> =>
  db
    .select()
    .from(roles)
    .where(page.after ? gt(roles.id, page.after) : undefined)
    .orderBy(asc(roles.id))
    .limit(page.limit + 1)

export async function findRole(db: ServerDetailsExecutor, id: string): Promise<RoleRow | undefined> {
  const [row] = await db.select().from(roles).where(eq(roles.id, id))
  return row
}

export const findRoles = (db: ServerDetailsExecutor, ids: string[]): Promise<RoleRow[]> =>
  db.select().from(roles).where(inArray(roles.id, ids))

export async function countRoles(db: ServerDetailsExecutor): Promise<number> {
  const [row] = await db.select({ roles: count() }).from(roles)
  return row!.roles
}

/** Whether another role than `exceptId` has the name. */
export async function isRoleNameTaken(db: ServerDetailsExecutor, nameKey: string, exceptId?: string): Promise<boolean> {
  const rows = await db
    .select({ id: roles.id })
    .from(roles)
    .where(and(eq(roles.nameKey, nameKey), exceptId ? ne(roles.id, exceptId) : undefined))
  return rows.length > 0
}

export async function insertRole(tx: ServerDetailsExecutor, values: typeof roles.$inferInsert): Promise<RoleRow> {
  const [row] = await tx.insert(roles).values(values).returning()
  return row!
}

export async function updateRole(
  tx: ServerDetailsExecutor,
  id: string,
  values: Partial<typeof roles.$inferInsert>,
): Promise<RoleRow> {
  const [row] = await tx.update(roles).set(values).where(eq(roles.id, id)).returning()
  return row!
}

export async function deleteRole(tx: ServerDetailsExecutor, id: string): Promise<void> {
  await tx.delete(roles).where(eq(roles.id, id))
}

/** Moves the roles from one position to another, both included, on by so many; answers them as they are then. */
export const shiftRoles = (
  tx: ServerDetailsExecutor,
  { from, to, by }: { from: number; to?: number; by: number },
): Promise<RoleRow[]> =>
  tx
    .update(roles)
    .set({ position: sql`${roles.position} + ${by}` })
    .where(and(gte(roles.position, from), to === undefined ? undefined : lte(roles.position, to)))
    .returning()
