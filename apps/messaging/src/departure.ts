import type { Bus } from '@conntext/bus'
import { subjects } from '@conntext/contracts'
import { type Communications, deletedAuthors, media, messages } from '@conntext/db-communications'
import type { Logger } from '@conntext/kernel'
import { sql } from 'drizzle-orm'
import { withdrawImagesOf } from './media/pictures.ts'
import { type DeletionDeps, deleteAllMessages, deleteLooseUploads } from './messages/deletion.ts'
import { dropUploadsOf } from './uploads/queries.ts'

export type DepartureDeps = DeletionDeps & { bus: Bus; log: Logger }

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
  if (wish === 'delete') await deleteAllMessages(deps, userId)
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
    .publish(subjects.authority, JSON.stringify({ userId }))
    .catch((error: unknown) => log.warn({ err: error }, 'a change could not be published'))
  for (const table of [messages, media]) await awaitWriters(db, table)
}

/** Waits for all transactions that are writing into the table; those that begin meanwhile wait for this. */
const awaitWriters = (db: Communications, table: typeof messages | typeof media): Promise<void> =>
  db.transaction(async (tx) => {
    // Better to come back later than to hold everybody up behind a writer that hangs.
    await tx.execute(sql`set local lock_timeout = '3s'`)
    await tx.execute(sql`lock table ${table} in share mode`)
  })
