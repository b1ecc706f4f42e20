import { inviteRedemptions, invites, type ServerDetailsExecutor, users } from '@conntext/db-server-details'
import { and, desc, eq, isNull, lt, notExists, or, sql } from 'drizzle-orm'

export type InviteRow = typeof invites.$inferSelect
export type Redemption = typeof inviteRedemptions.$inferSelect

export async function insertInvite(tx: ServerDetailsExecutor, invite: typeof invites.$inferInsert): Promise<InviteRow> {
  const [row] = await tx.insert(invites).values(invite).returning()
  return row!
}

/** Invites that have not been revoked, newest first. */
export const selectInvites = (
  db: ServerDetailsExecutor,
  query: { creatorId: string | undefined; before: string | undefined; limit: number },
): Promise<InviteRow[]> =>
  db
    .select()
    .from(invites)
    .where(
      and(
        isNull(invites.revokedAt),
        query.creatorId === undefined ? undefined : eq(invites.creatorId, query.creatorId),
        query.before === undefined ? undefined : lt(invites.id, query.before),
      ),
    )
    .orderBy(desc(invites.id))
    .limit(query.limit)

/** Revokes it, whoever made it or just its creator; false when there is nothing to revoke. */
export async function revoke(
  tx: ServerDetailsExecutor,
  { id, creatorId, at }: { id: string; creatorId: string | undefined; at: Date },
): Promise<boolean> {
  const isOwn = creatorId === undefined ? undefined : eq(invites.creatorId, creatorId)
  const rows = await tx
    .update(invites)
    .set({ revokedAt: at })
    .where(and(eq(invites.id, id), isNull(invites.revokedAt), isOwn))
    .returning({ id: invites.id })
  return rows.length > 0
}

/** Locks the invite, so that nobody else takes or gives back a use of it until the transaction ends. */
export async function lockInvite(
  tx: ServerDetailsExecutor,
  which: { id: string } | { codeHash: Uint8Array },
): Promise<InviteRow | undefined> {
  const isIt = 'id' in which ? eq(invites.id, which.id) : eq(invites.codeHash, which.codeHash)
  const [row] = await tx.select().from(invites).where(isIt).for('update')
  return row
}

export async function findInvite(db: ServerDetailsExecutor, codeHash: Uint8Array): Promise<InviteRow | undefined> {
  const [row] = await db.select().from(invites).where(eq(invites.codeHash, codeHash))
  return row
}

// Two services' clocks are compared, and nobody joins, leaves and comes back within less.
const CLOCK_SKEW = sql`interval '1 minute'`

/** Whether somebody who has left took the use since, to come back with; of an account that is there. */
const isPending = sql<boolean>`exists (
  select from ${users} where users.id = ${inviteRedemptions.userId} and users.standing <> 'active'
  and users.joined_at + ${CLOCK_SKEW} < ${inviteRedemptions.createdAt})`

export type Redeemed = { inviteId: string; creatorId: string; roleId: string | null; isPending: boolean }

export async function selectRedemption(tx: ServerDetailsExecutor, userId: string): Promise<Redeemed | undefined> {
  const [row] = await tx
    .select({ inviteId: invites.id, creatorId: invites.creatorId, roleId: invites.roleId, isPending })
    .from(inviteRedemptions)
    .innerJoin(invites, eq(invites.id, inviteRedemptions.inviteId))
    .where(eq(inviteRedemptions.userId, userId))
  return row
}

/** Takes one use for the user; false when the user has taken one already. */
export async function insertRedemption(tx: ServerDetailsExecutor, redemption: Redemption): Promise<boolean> {
  const rows = await tx
    .insert(inviteRedemptions)
    .values(redemption)
    .onConflictDoNothing()
    .returning({ userId: inviteRedemptions.userId })
  if (rows.length > 0) await addUses(tx, redemption.inviteId, 1)
  return rows.length > 0
}

/** Gives the user's use back; false when there is none. */
export async function deleteRedemption(tx: ServerDetailsExecutor, userId: string, inviteId: string): Promise<boolean> {
  const isIt = and(eq(inviteRedemptions.userId, userId), eq(inviteRedemptions.inviteId, inviteId))
  const rows = await tx.delete(inviteRedemptions).where(isIt).returning({ userId: inviteRedemptions.userId })
  if (rows.length > 0) await addUses(tx, inviteId, -1)
  return rows.length > 0
}

/** Forgets which invite the user came by; its use stays taken. */
export async function forgetRedemption(tx: ServerDetailsExecutor, userId: string): Promise<void> {
  await tx.delete(inviteRedemptions).where(eq(inviteRedemptions.userId, userId))
}

async function addUses(tx: ServerDetailsExecutor, id: string, by: number): Promise<void> {
  await tx
    .update(invites)
    .set({ uses: sql`${invites.uses} + ${by}` })
    .where(eq(invites.id, id))
}

/** Users for whom a use was taken before `before`, and who have not come in with it: made no account, or not come back. */
export async function selectAbandoned(db: ServerDetailsExecutor, before: Date, limit: number): Promise<string[]> {
  const account = db.select({ one: sql`1` }).from(users).where(eq(users.id, inviteRedemptions.userId))
  const rows = await db
    .select({ userId: inviteRedemptions.userId })
    .from(inviteRedemptions)
    .where(and(lt(inviteRedemptions.createdAt, before), or(notExists(account), isPending)))
    .limit(limit)
  return rows.map((row) => row.userId)
}
