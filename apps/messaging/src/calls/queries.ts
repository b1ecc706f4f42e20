import { type CallEnding, type CallReport, MAX_CALL_NAMES } from '@conntext/contracts'
import {
  type CommunicationsExecutor,
  callParticipations,
  calls,
  conversations,
  deletedAuthors,
} from '@conntext/db-communications'
import { and, desc, eq, gt, inArray, lt, notExists, type SQL, sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

// Any number will do, as long as nothing else locks by it.
const LOCK = 7_261_005

export type CallRow = typeof calls.$inferSelect
export type ParticipationRow = typeof callParticipations.$inferSelect

/** Waits for whoever is changing the history of this channel's calls, and keeps others from it until the end of the transaction. */
export async function takeCalls(tx: Transaction, channelId: string): Promise<void> {
  await tx.execute(sql`select pg_advisory_xact_lock(${LOCK}, hashtext(${channelId}))`)
}

export async function isConversation(tx: Transaction, id: string): Promise<boolean> {
  const rows = await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, id))
  return rows.length > 0
}

/** The call that a node's belongs to, once something of it was told. */
export async function findByPart(db: CommunicationsExecutor, partId: string): Promise<string | undefined> {
  const [part] = await db
    .select({ id: callParticipations.callId })
    .from(callParticipations)
    .where(eq(callParticipations.partId, partId))
    .limit(1)
  if (part) return part.id
  const [call] = await db.select({ id: calls.id }).from(calls).where(eq(calls.id, partId))
  return call?.id
}

export async function findLatest(tx: Transaction, channelId: string): Promise<CallRow | undefined> {
  const [row] = await tx.select().from(calls).where(eq(calls.channelId, channelId)).orderBy(desc(calls.id)).limit(1)
  return row
}

export async function insertCall(tx: Transaction, row: Pick<CallRow, 'id' | 'channelId' | 'startedAt' | 'peak'>) {
  await tx.insert(calls).values(row)
}

/** What its node has said to be over stays so, whatever comes late; what was taken for over may go on. */
export async function upsertParticipations(
  tx: Transaction,
  callId: string,
  reports: CallReport[],
  heardAt: Date,
): Promise<void> {
  const rows = reports.map(({ id, callId: partId, userId, joinedAt, leftAt, ending, spoke, camera, screen }) => ({
    ...{ id, callId, partId, userId, joinedAt: new Date(joinedAt), ending, heardAt, spoke, camera, screen },
    leftAt: leftAt === null ? null : new Date(leftAt),
  }))
  const or = (name: string) => sql.raw(`call_participations.${name} or excluded.${name}`)
  await tx
    .insert(callParticipations)
    .values(rows)
    .onConflictDoUpdate({
      target: callParticipations.id,
      set: {
        leftAt: sql`excluded.left_at`,
        ending: sql`excluded.ending`,
        heardAt: sql`excluded.heard_at`,
        ...{ spoke: or('spoke'), camera: or('camera'), screen: or('screen') },
      },
      setWhere: sql`${callParticipations.leftAt} is null or ${callParticipations.ending} = 'unheard'`,
    })
}

/** Of people whose accounts are gone nothing is kept: looked at after a row of theirs was written. */
export async function dropDeparted(tx: Transaction, userIds: string[]): Promise<void> {
  const gone = tx
    .select({ id: deletedAuthors.userId })
    .from(deletedAuthors)
    .where(inArray(deletedAuthors.userId, userIds))
  await tx.delete(callParticipations).where(inArray(callParticipations.userId, gone))
}

export type Settled = CallRow & { people: number; firstUserId: string | null }

/** Makes a call what its participations say that it is; undefined for one that nobody was in: it is gone. */
export async function settleCall(tx: Transaction, callId: string, peak: number): Promise<Settled | undefined> {
  const of = eq(callParticipations.callId, callId)
  const [was] = await tx
    .select({
      began: sql`min(${callParticipations.joinedAt})`.mapWith(callParticipations.joinedAt),
      over: sql`max(${callParticipations.leftAt})`.mapWith(callParticipations.leftAt),
      isOpen: sql<boolean>`bool_or(${callParticipations.leftAt} is null)`,
      people: sql`count(distinct ${callParticipations.userId})`.mapWith(Number),
      first: sql<string | null>`(array_agg(${callParticipations.userId} order by ${callParticipations.joinedAt}))[1]`,
      ending: sql<CallEnding | null>`(array_agg(${callParticipations.ending} order by ${callParticipations.leftAt} desc))[1]`,
    })
    .from(callParticipations)
    .where(of)
  if (!was || was.people === 0) {
    await tx.delete(calls).where(eq(calls.id, callId))
    return undefined
  }
  const { began, over, isOpen, people, first, ending } = was
  const [row] = await tx
    .update(calls)
    .set({
      startedAt: sql`least(${calls.startedAt}, ${sql.param(began, calls.startedAt)})`,
      endedAt: isOpen ? null : over,
      ending: isOpen ? null : ending,
      peak: sql`greatest(${calls.peak}, ${peak})`,
    })
    .where(eq(calls.id, callId))
    .returning()
  return row && { ...row, people, firstUserId: first }
}

export async function noteAudited(
  tx: Transaction,
  id: string,
  audited: NonNullable<CallRow['audited']>,
): Promise<void> {
  await tx.update(calls).set({ audited }).where(eq(calls.id, id))
}

/** Channels with participations that were not told of since then, or with calls that were over by then. */
export async function listUnsettled(
  db: CommunicationsExecutor,
  { heardBefore, endedBefore }: { heardBefore: Date; endedBefore: Date },
): Promise<string[]> {
  const silent = await db
    .select({ id: calls.channelId })
    .from(callParticipations)
    .innerJoin(calls, eq(calls.id, callParticipations.callId))
    .where(isSilent(heardBefore))
    .groupBy(calls.channelId)
  const over = await db
    .select({ id: calls.channelId })
    .from(calls)
    .where(and(eq(calls.audited, 'started'), lt(calls.endedAt, endedBefore)))
    .groupBy(calls.channelId)
  return [...new Set([...silent, ...over].map((row) => row.id))].sort()
}

const isSilent = (since: Date): SQL =>
  and(sql`${callParticipations.leftAt} is null`, lt(callParticipations.heardAt, since))!

/** Takes what was not told of since then for over since it last was; answers the calls that they were in. */
export async function endSilent(tx: Transaction, channelId: string, heardBefore: Date): Promise<string[]> {
  const here = tx.select({ id: calls.id }).from(calls).where(eq(calls.channelId, channelId))
  const ended = await tx
    .update(callParticipations)
    .set({
      leftAt: sql`greatest(${callParticipations.heardAt}, ${callParticipations.joinedAt})`,
      ending: 'unheard' satisfies CallEnding,
    })
    .where(and(isSilent(heardBefore), inArray(callParticipations.callId, here)))
    .returning({ id: callParticipations.callId })
  return [...new Set(ended.map((row) => row.id))]
}

/** Calls of a channel that are over by then, and weren't audited as such. */
export async function listOver(tx: Transaction, channelId: string, endedBefore: Date): Promise<string[]> {
  const rows = await tx
    .select({ id: calls.id })
    .from(calls)
    .where(and(eq(calls.channelId, channelId), eq(calls.audited, 'started'), lt(calls.endedAt, endedBefore)))
  return rows.map((row) => row.id)
}

export type ListedCall = CallRow & { people: number; userIds: string[] }

const people = sql`(select count(distinct user_id) from ${callParticipations} p where p.call_id = calls.id)`.mapWith(
  Number,
)
const firstPeople = sql<string[]>`array(select p.user_id from ${callParticipations} p where p.call_id = calls.id
  group by p.user_id order by min(p.joined_at), p.user_id limit ${sql.raw(String(MAX_CALL_NAMES))})`

const listed = {
  ...{ id: calls.id, channelId: calls.channelId, startedAt: calls.startedAt, endedAt: calls.endedAt },
  ...{ ending: calls.ending, peak: calls.peak, audited: calls.audited, people, userIds: firstPeople },
}

export type CallFilter = {
  /** Nothing is found but in these. */
  channelIds: string[]
  userId: string | undefined
}

/** The newest first; `after` is where the page before ended. */
export async function listCalls(
  db: CommunicationsExecutor,
  { channelIds, userId }: CallFilter,
  { limit, after }: { limit: number; after: string | undefined },
): Promise<ListedCall[]> {
  if (channelIds.length === 0) return []
  return db
    .select(listed)
    .from(calls)
    .where(
      and(
        inArray(calls.channelId, channelIds),
        userId === undefined
          ? undefined
          : sql`exists (select from ${callParticipations} p where p.call_id = calls.id and p.user_id = ${userId})`,
        after === undefined ? undefined : lt(calls.id, after),
      ),
    )
    .orderBy(desc(calls.id))
    .limit(limit)
}

export async function findCall(db: CommunicationsExecutor, id: string): Promise<ListedCall | undefined> {
  const [row] = await db.select(listed).from(calls).where(eq(calls.id, id))
  return row
}

/** In the order in which they joined. */
export async function listParticipations(
  db: CommunicationsExecutor,
  callId: string,
  { limit, after }: { limit: number; after: string | undefined },
): Promise<ParticipationRow[]> {
  return db
    .select()
    .from(callParticipations)
    .where(
      and(eq(callParticipations.callId, callId), after === undefined ? undefined : gt(callParticipations.id, after)),
    )
    .orderBy(callParticipations.id)
    .limit(limit)
}

/** What somebody was in, the earliest first. */
export async function listParticipationsOf(
  db: CommunicationsExecutor,
  userId: string,
  { limit, after }: { limit: number; after: string | undefined },
): Promise<(ParticipationRow & { channelId: string })[]> {
  const rows = await db
    .select({ participation: callParticipations, channelId: calls.channelId })
    .from(callParticipations)
    .innerJoin(calls, eq(calls.id, callParticipations.callId))
    .where(
      and(eq(callParticipations.userId, userId), after === undefined ? undefined : gt(callParticipations.id, after)),
    )
    .orderBy(callParticipations.id)
    .limit(limit)
  return rows.map(({ participation, channelId }) => ({ ...participation, channelId }))
}

/** Forgets that somebody was in calls, and calls that nobody else was in. */
export async function forgetParticipations(db: CommunicationsExecutor, userId: string): Promise<void> {
  await db.transaction(async (tx) => {
    const theirs = await tx
      .delete(callParticipations)
      .where(eq(callParticipations.userId, userId))
      .returning({ id: callParticipations.callId })
    const ids = [...new Set(theirs.map((row) => row.id))]
    if (ids.length === 0) return
    const somebody = tx.select({ one: sql`1` }).from(callParticipations).where(eq(callParticipations.callId, calls.id))
    await tx.delete(calls).where(and(sql`${calls.id} = any(${sql.param(ids)}::uuid[])`, notExists(somebody)))
  })
}

/** Forgets the calls of a channel that is gone. */
export async function purgeCalls(db: CommunicationsExecutor, channelId: string): Promise<void> {
  await db.transaction(async (tx) => {
    await takeCalls(tx, channelId)
    await tx.delete(calls).where(eq(calls.channelId, channelId))
  })
}

/** Forgets some of the calls that were over by then; answers how many. */
export async function deleteOldCalls(tx: Transaction, endedBefore: Date, limit: number): Promise<number> {
  const old = tx.select({ id: calls.id }).from(calls).where(lt(calls.endedAt, endedBefore)).limit(limit)
  const gone = await tx.delete(calls).where(inArray(calls.id, old)).returning({ id: calls.id })
  return gone.length
}
