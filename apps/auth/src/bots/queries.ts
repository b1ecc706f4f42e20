import { type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import type { PageRequest } from '@conntext/http'
import { and, asc, eq, gt, ne } from 'drizzle-orm'
import { roleIdsOfUser } from '../authority/queries.ts'
import { userColumns } from '../users/queries.ts'

const botColumns = { ...userColumns, createdBy: users.createdBy, roleIds: roleIdsOfUser }

const isBot = and(eq(users.kind, 'bot'), ne(users.standing, 'deleted'))

/** Also those that were kicked or banned, in the order in which they were made. */
export const listBots = (db: ServerDetailsExecutor, page: PageRequest) =>
  db
    .select(botColumns)
    .from(users)
    .where(and(isBot, page.after ? gt(users.id, page.after) : undefined))
    .orderBy(asc(users.id))
    .limit(page.limit + 1)

export type BotRow = Awaited<ReturnType<typeof listBots>>[number]

export async function lockBotRow(tx: ServerDetailsExecutor, id: string): Promise<BotRow | undefined> {
  const [row] = await tx
    .select(botColumns)
    .from(users)
    .where(and(eq(users.id, id), isBot))
    .for('no key update')
  return row
}
