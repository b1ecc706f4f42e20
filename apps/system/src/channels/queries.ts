import type { Override } from '@conntext/contracts'
import {
  type ChannelRow,
  channelOverrides,
  channels,
  nameKey,
  roles,
  type ServerDetailsExecutor,
  toOverride,
  users,
} from '@conntext/db-server-details'
import { and, asc, eq, ne, notExists, or, sql } from 'drizzle-orm'

/** All of them, in their order: their number is bounded. */
export const selectChannels = (db: ServerDetailsExecutor): Promise<ChannelRow[]> =>
  db.select().from(channels).orderBy(asc(channels.position), asc(channels.id))

export async function selectChannel(db: ServerDetailsExecutor, id: string): Promise<ChannelRow | undefined> {
  const [row] = await db.select().from(channels).where(eq(channels.id, id))
  return row
}

export async function insertChannel(tx: ServerDetailsExecutor, channel: Omit<ChannelRow, 'nameKey'>): Promise<void> {
  await tx.insert(channels).values({ ...channel, nameKey: nameKey(channel.name) })
}

export async function updateChannelFields(
  tx: ServerDetailsExecutor,
  id: string,
  fields: Omit<ChannelRow, 'id' | 'nameKey' | 'type' | 'position' | 'createdAt'>,
): Promise<void> {
  const { name, topic, slowModeSeconds, messageRetentionDays, parentId } = fields
  const { userLimit, audioBitrate, videoLimit } = fields
  await tx
    .update(channels)
    .set({
      ...{ name, nameKey: nameKey(name), topic, slowModeSeconds, messageRetentionDays, parentId },
      ...{ userLimit, audioBitrate, videoLimit },
    })
    .where(eq(channels.id, id))
}

export async function updatePositions(tx: ServerDetailsExecutor, moved: ChannelRow[]): Promise<void> {
  if (moved.length === 0) return
  const values = sql.join(
    moved.map(({ id, position }) => sql`(${id}::uuid, ${position}::integer)`),
    sql`, `,
  )
  await tx.execute(sql`update ${channels} set position = moved.position from (values ${values}) as moved (id, position)
    where ${channels.id} = moved.id`)
}

/** What was in a category stays, without a parent. */
export async function deleteChannelRow(tx: ServerDetailsExecutor, id: string): Promise<void> {
  await tx.delete(channels).where(eq(channels.id, id))
}

export async function selectOverrides(db: ServerDetailsExecutor, channelId?: string): Promise<Override[]> {
  const rows = await db
    .select()
    .from(channelOverrides)
    .where(channelId === undefined ? undefined : eq(channelOverrides.channelId, channelId))
    .orderBy(asc(channelOverrides.targetKind), asc(channelOverrides.targetId))
  return rows.map(toOverride)
}

export async function upsertOverride(tx: ServerDetailsExecutor, override: Override): Promise<void> {
  const { targetKind, allow, deny } = override
  await tx
    .insert(channelOverrides)
    .values(override)
    .onConflictDoUpdate({
      target: [channelOverrides.channelId, channelOverrides.targetId],
      set: { targetKind, allow, deny },
    })
}

export async function deleteOverride(tx: ServerDetailsExecutor, channelId: string, targetId: string): Promise<void> {
  const isIt = and(eq(channelOverrides.channelId, channelId), eq(channelOverrides.targetId, targetId))
  await tx.delete(channelOverrides).where(isIt)
}

/** Deletes overrides for roles and accounts that are gone, and answers which they were. */
export async function deleteLeftOverrides(tx: ServerDetailsExecutor, limit: number): Promise<Override[]> {
  const role = tx.select({ one: sql`1` }).from(roles).where(eq(roles.id, channelOverrides.targetId))
  const account = tx
    .select({ one: sql`1` })
    .from(users)
    .where(and(eq(users.id, channelOverrides.targetId), ne(users.standing, 'deleted')))
  const isLeft = or(
    and(eq(channelOverrides.targetKind, 'role'), notExists(role)),
    and(eq(channelOverrides.targetKind, 'member'), notExists(account)),
  )
  const left = tx
    .select({ channelId: channelOverrides.channelId, targetId: channelOverrides.targetId })
    .from(channelOverrides)
    .where(isLeft)
    .limit(limit)
  const rows = await tx
    .delete(channelOverrides)
    .where(sql`(${channelOverrides.channelId}, ${channelOverrides.targetId}) in ${left}`)
    .returning()
  return rows.map(toOverride)
}
