import {
  authorityState,
  channelOverrides,
  channels,
  memberRoles,
  roles,
  type ServerDetailsExecutor,
  serverSettings,
  users,
} from '@conntext/db-server-details'
import { asc, eq, exists, inArray, or, sql } from 'drizzle-orm'

import { hasMfa } from '../users/queries.ts'

export const STATE_ID = 1

/** The members' roles as an array; for a select from `users`. */
export const roleIdsOfUser = sql<string[]>`array(
  select role_id from ${memberRoles} where user_id = users.id order by role_id)`

/** Takes the one lock under which roles, their holders and the owner change. */
export async function lockAuthority(tx: ServerDetailsExecutor): Promise<{ ownerId: string | null }> {
  const [state] = await tx
    .select({ ownerId: authorityState.ownerId })
    .from(authorityState)
    .where(eq(authorityState.id, STATE_ID))
    .for('update')
  return state!
}

/** A new version of the snapshot: what it holds has changed. */
export async function raiseVersion(tx: ServerDetailsExecutor): Promise<void> {
  await tx
    .update(authorityState)
    .set({ version: sql`${authorityState.version} + 1` })
    .where(eq(authorityState.id, STATE_ID))
}

/** Gives the server another owner, as a new version of the snapshot. */
export async function setOwner(tx: ServerDetailsExecutor, ownerId: string): Promise<void> {
  await tx
    .update(authorityState)
    .set({ ownerId, version: sql`${authorityState.version} + 1` })
    .where(eq(authorityState.id, STATE_ID))
}

export async function findState(db: ServerDetailsExecutor) {
  const [state] = await db.select().from(authorityState).where(eq(authorityState.id, STATE_ID))
  return state!
}

export async function findSettings(db: ServerDetailsExecutor) {
  const [settings] = await db.select().from(serverSettings)
  return settings
}

export const listAllRoles = (db: ServerDetailsExecutor) => db.select().from(roles).orderBy(asc(roles.position))

export const listAllChannels = (db: ServerDetailsExecutor) =>
  db.select().from(channels).orderBy(asc(channels.position), asc(channels.id))

/** Without those for roles that have been deleted. */
export const listOverrides = (db: ServerDetailsExecutor) =>
  db
    .select()
    .from(channelOverrides)
    .where(
      or(
        eq(channelOverrides.targetKind, 'member'),
        exists(db.select({ one: sql`1` }).from(roles).where(eq(roles.id, channelOverrides.targetId))),
      ),
    )
    .orderBy(asc(channelOverrides.channelId), asc(channelOverrides.targetId))

export const listGrants = (db: ServerDetailsExecutor, userIds: string[]) =>
  db
    .select({
      userId: users.id,
      kind: users.kind,
      standing: users.standing,
      timedOutUntil: users.timedOutUntil,
      mfa: hasMfa,
      roleIds: roleIdsOfUser,
    })
    .from(users)
    .where(inArray(users.id, userIds))
