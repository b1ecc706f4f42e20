import { type CommunicationsExecutor, webhooks } from '@conntext/db-communications'
import { and, asc, count, eq, gt, inArray, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

export type WebhookRow = typeof webhooks.$inferSelect

/** How often a webhook may write; 0 per second for as often as it likes. */
export type WebhookRate = { perSecond: number; burst: number }
export const WEBHOOK_RATE: WebhookRate = { perSecond: 1, burst: 30 }

export async function findWebhook(db: CommunicationsExecutor, id: string): Promise<WebhookRow | undefined> {
  const [row] = await db.select().from(webhooks).where(eq(webhooks.id, id))
  return row
}

export async function findWebhooks(db: CommunicationsExecutor, ids: string[]): Promise<Map<string, WebhookRow>> {
  if (ids.length === 0) return new Map()
  const rows = await db.select().from(webhooks).where(inArray(webhooks.id, ids))
  return new Map(rows.map((row) => [row.id, row]))
}

/** A channel's, by id: the oldest first. */
export async function listWebhooks(
  db: CommunicationsExecutor,
  channelId: string,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<WebhookRow[]> {
  return db
    .select()
    .from(webhooks)
    .where(and(eq(webhooks.channelId, channelId), after === undefined ? undefined : gt(webhooks.id, after)))
    .orderBy(asc(webhooks.id))
    .limit(limit)
}

export async function countWebhooks(db: CommunicationsExecutor, channelId: string): Promise<number> {
  const [row] = await db.select({ count: count() }).from(webhooks).where(eq(webhooks.channelId, channelId))
  return row!.count
}

export async function insertWebhook(tx: Transaction, row: typeof webhooks.$inferInsert): Promise<WebhookRow> {
  const [made] = await tx.insert(webhooks).values(row).returning()
  return made!
}

export type WebhookChange = Partial<
  Pick<WebhookRow, 'channelId' | 'name' | 'avatarId' | 'mentionEveryone' | 'secretHash'>
>

export async function saveWebhook(tx: Transaction, id: string, change: WebhookChange): Promise<WebhookRow> {
  const [row] = await tx.update(webhooks).set(change).where(eq(webhooks.id, id)).returning()
  return row!
}

export async function removeWebhook(tx: Transaction, id: string): Promise<void> {
  await tx.delete(webhooks).where(eq(webhooks.id, id))
}

/**
 * Takes one message from what the webhook has left, and answers how many seconds it has to wait instead; 0 for none. In
 * one statement, so that the rate is the same however many instances there are.
 */
export async function takeAllowance(
  db: CommunicationsExecutor,
  id: string,
  { perSecond, burst }: WebhookRate,
  now: Date,
): Promise<number> {
  if (perSecond === 0) return 0
  const at = sql`${now.toISOString()}::timestamptz`
  // The clocks of two instances differ a little: nothing is given twice for that.
  const [row] = await db.execute<{ left: number }>(sql`
    with filled as (
      select id, least(${burst}::float8, allowance
        + greatest(0, extract(epoch from ${at} - allowance_at))::float8 * ${perSecond}::float8) as left
      from ${webhooks} where id = ${id} for update),
    taken as (
      update ${webhooks} set allowance = filled.left - 1, allowance_at = greatest(allowance_at, ${at})
      from filled where ${webhooks.id} = filled.id and filled.left >= 1)
    select "left" from filled`)
  return row && row.left < 1 ? (1 - row.left) / perSecond : 0
}
