import type { ServerDetails, ServerDetailsExecutor } from '@conntext/db-server-details'
import type { Logger } from '@conntext/kernel'
import { sql } from 'drizzle-orm'

/** What waits in the database until an instance takes it up. */
export type Work = 'backups' | 'verifications'

const CHANNEL = 'system_work'

/** Whoever looks for a word that got lost looks so often. */
export const LOOK_FOR_WORK_EVERY_MS = 15_000

/** Tells every instance, once the transaction is committed; also by whoever is no instance: an operator's command. */
export const announceWork = async (tx: ServerDetailsExecutor, work: Work): Promise<void> => {
  await tx.execute(sql`select pg_notify(${CHANNEL}, ${work})`)
}

/**
 * Calls back when there may be something to do. Where it can't be heard, what waits is found later, by looking. Answers
 * how to end it.
 */
export async function hearOfWork(
  { db, log }: { db: Pick<ServerDetails, 'listen'>; log: Logger },
  wake: Record<Work, () => void>,
): Promise<() => void> {
  const heard = (work?: string) => {
    for (const [name, call] of Object.entries(wake)) if (!work || work === name) call()
  }
  try {
    return await db.listen(CHANNEL, heard)
  } catch (error) {
    log.warn({ err: error }, 'what there is to do is not heard of; it is looked for now and then')
    return () => {}
  }
}
