import { type AuditActor, channelStream } from '@conntext/contracts'
import { type Communications, media, messageDeletions, messages } from '@conntext/db-communications'
import type { Clock } from '@conntext/kernel'
import { and, asc, eq, gte, isNull, sql } from 'drizzle-orm'
import { formerly, messagingAudit, recordAudit } from '../audit.ts'
import { dropUnusedMedia, recordDropped } from '../media/removal.ts'
import type { Transaction, WriteStreams } from '../streams/writer.ts'
import { eraseMessages } from './erasure.ts'

// How many at once: while they are deleted, nobody writes in their channel.
const AT_ONCE = 50

export type DeletionDeps = { db: Communications; write: WriteStreams; clock: Clock }

/** Whose messages, since when; `id` tells this deletion from every other. */
export type Deletion = { id: string; userId: string; since?: Date; actor: AuditActor }

const ofAuthor = ({ userId, since }: Deletion) =>
  and(eq(messages.authorId, userId), isNull(messages.deletedAt), since ? gte(messages.createdAt, since) : undefined)

/**
 * Deletes somebody's messages as if each were deleted by itself, in many small transactions that say how far they have
 * got: what is interrupted is finished by a repeat, and what is finished is left alone. `record` writes, in the last
 * transaction, how many there were.
 */
export async function deleteMessagesOf(
  deps: DeletionDeps,
  deletion: Deletion,
  record: (tx: Transaction, count: number) => Promise<void>,
): Promise<void> {
  const { db, clock } = deps
  const { id } = deletion
  await db.insert(messageDeletions).values({ id, beganAt: clock.now() }).onConflictDoNothing()
  const [known] = await db.select().from(messageDeletions).where(eq(messageDeletions.id, id))
  if (known?.finishedAt) return
  for (;;) {
    const [next] = await db.select({ channelId: messages.channelId }).from(messages).where(ofAuthor(deletion)).limit(1)
    if (!next) break
    while (await deleteSome(deps, deletion, next.channelId));
  }
  await db.transaction(async (tx) => {
    const [finished] = await tx
      .update(messageDeletions)
      .set({ finishedAt: clock.now() })
      .where(and(eq(messageDeletions.id, id), isNull(messageDeletions.finishedAt)))
      .returning({ deleted: messageDeletions.deleted })
    if (finished) await record(tx, finished.deleted)
  })
}

/** Deletes the oldest of them in a channel; answers whether there may be more. */
function deleteSome({ write, clock }: DeletionDeps, deletion: Deletion, channelId: string): Promise<boolean> {
  return write([channelStream(channelId)], async (tx) => {
    const rows = await tx
      .select()
      .from(messages)
      .where(and(ofAuthor(deletion), eq(messages.channelId, channelId)))
      .orderBy(asc(messages.seq))
      .limit(AT_ONCE)
    const { events, dropped } = await eraseMessages(tx, channelId, rows, clock.now())
    await recordDropped(tx, deletion.actor, dropped)
    await tx
      .update(messageDeletions)
      .set({ deleted: sql`${messageDeletions.deleted} + ${rows.length}` })
      .where(eq(messageDeletions.id, deletion.id))
    return { answer: rows.length === AT_ONCE, events }
  })
}

/** A moderator's deletion of what somebody has written since. */
export function deleteRecentMessages(
  deps: DeletionDeps,
  given: { id: string; userId: string; since: string; actor: AuditActor },
): Promise<void> {
  const { userId, since, actor } = given
  return deleteMessagesOf(deps, { ...given, since: new Date(since) }, (tx, count) =>
    recordAudit(tx, [messagingAudit('messages.deletedByModerator', actor, userId, { since, count })]),
  )
}

/** The deletion of all that somebody has written, who is gone. There is one for each person: theirs is its id. */
export function deleteAllMessages(deps: DeletionDeps, userId: string): Promise<void> {
  return deleteMessagesOf(deps, { id: userId, userId, actor: formerly(userId) }, (tx, count) =>
    recordAudit(tx, [messagingAudit('messages.deletedWithAccount', formerly(userId), userId, { count })]),
  )
}

/** Deletes the uploads of somebody who is gone, but for those that a message carries or that the server shows. */
export async function deleteLooseUploads({ db }: Pick<DeletionDeps, 'db'>, userId: string): Promise<void> {
  for (let after = ''; ; ) {
    const ids = await listUploads(db, userId, after)
    if (ids.length === 0) return
    await db.transaction(async (tx) => recordDropped(tx, formerly(userId), await dropUnusedMedia(tx, ids)))
    after = ids.at(-1)!
  }
}

async function listUploads(db: Communications, userId: string, after: string): Promise<string[]> {
  const later = after === '' ? undefined : sql`${media.id} > ${after}`
  const rows = await db
    .select({ id: media.id })
    .from(media)
    .where(and(eq(media.ownerId, userId), later))
    .orderBy(asc(media.id))
    .limit(AT_ONCE)
  return rows.map((row) => row.id)
}
