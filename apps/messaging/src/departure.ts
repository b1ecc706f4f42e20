import type { Bus } from '@conntext/bus'
import { subjects } from '@conntext/contracts'
import {
  blocks,
  type Communications,
  callParticipations,
  contactSettings,
  conversationParticipants,
  deletedAuthors,
  media,
  mediaUploads,
  publishedImages,
  readStates,
  streams,
} from '@conntext/db-communications'
import type { Logger } from '@conntext/kernel'
import { eq, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import { forgetParticipations } from './calls/queries.ts'
import { forgetContacts } from './contacts/queries.ts'
import { leaveConversations } from './conversations/departure.ts'
import type { ConversationDeps } from './conversations/service.ts'
import { withdrawImagesOf } from './media/pictures.ts'
import { type DeletionDeps, deleteAllMessages, deleteLooseUploads } from './messages/deletion.ts'
import { type ReactionDeps, removeAllReactions } from './reactions/service.ts'
import { dropUploadsOf } from './uploads/queries.ts'

// What somebody may be writing into at the moment at which their account goes, but for what they say: that is written
// under a stream's lock.
const WRITTEN = [
  ...[readStates, conversationParticipants],
  ...[media, mediaUploads, publishedImages, blocks, contactSettings, callParticipations],
]

export type DepartureDeps = DeletionDeps & ReactionDeps & ConversationDeps & { bus: Bus; log: Logger }

/**
 * What follows here from the deletion of an account. First nothing more is taken from it: whatever was on its way is
 * either stored before what is stored is deleted, or refused. May be repeated, also after half of it.
 */
export async function forgetUser(
  deps: DepartureDeps,
  { userId, messages: wish }: { userId: string; messages: 'keep' | 'delete' },
): Promise<void> {
  const { db } = deps
  await db.insert(deletedAuthors).values({ userId }).onConflictDoNothing()
  await settleWrites(deps, userId)
  if (wish === 'delete') {
    await deleteAllMessages(deps, userId)
    await removeAllReactions(deps, userId)
  }
  await db.delete(readStates).where(eq(readStates.userId, userId))
  await leaveConversations(deps, userId)
  await forgetContacts(db, userId)
  await forgetParticipations(db, userId)
  await withdrawImagesOf(db, userId)
  await deleteLooseUploads(deps, userId)
  await dropUploadsOf(db, userId)
}

/**
 * Returns when whatever is still being written by what was known of somebody before is stored: after it, all that they
 * have written is there to be found.
 */
export async function settleWrites({ db, bus, log }: DepartureDeps, userId: string): Promise<void> {
  // Whoever told us may have been faster than the news on the bus.
  await bus
    .announce(subjects.authority, JSON.stringify({ userId }))
    .catch((error: unknown) => log.warn({ err: error }, 'a change could not be published'))
  // Who has locked a stream may have looked at what somebody may do, and have written nothing yet.
  await awaitHolders(db, streams, 'exclusive')
  for (const table of WRITTEN) await awaitHolders(db, table, 'share')
}

/**
 * Waits for all transactions that are writing into the table (`share`), or have rows of it locked (`exclusive`); those
 * that begin meanwhile wait for this.
 */
const awaitHolders = (db: Communications, table: PgTable, mode: 'share' | 'exclusive'): Promise<void> =>
  db.transaction(async (tx) => {
    // Better to come back later than to hold everybody up behind a writer that hangs.
    await tx.execute(sql`set local lock_timeout = '3s'`)
    await tx.execute(sql`lock table ${table} in ${sql.raw(mode)} mode`)
  })
