import type { Page, SettingsChange } from '@conntext/contracts'
import { type ServerDetails, settingsHistory } from '@conntext/db-server-details'
import { type Caller, pageById, pageRequest } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { desc, eq, lt, sql } from 'drizzle-orm'
import type { Transaction } from '../change.ts'

// The audit trail has all of them.
const KEPT = 1_000

type Row = typeof settingsHistory.$inferSelect
type Change = Pick<Row, 'changes' | 'restores'> & { caller: Caller }

/** Within the transaction of the change: whoever takes it back must find what was there. */
export async function recordChange(tx: Transaction, { caller, changes, restores }: Change): Promise<void> {
  await tx.insert(settingsHistory).values({
    ...{ id: newId(), changedAt: new Date(), changedBy: caller.userId, reason: caller.reason },
    ...{ changes, restores },
  })
  await tx.execute(sql`delete from settings_history where id in
    (select id from settings_history order by id desc offset ${KEPT})`)
}

/** Newest first. @throws request.invalid (422) for a cursor that no page gave out */
export async function listHistory(
  db: ServerDetails,
  query: { limit?: string; cursor?: string },
): Promise<Page<SettingsChange>> {
  const { limit, after } = pageRequest(query)
  const rows = await db
    .select()
    .from(settingsHistory)
    .where(after === undefined ? undefined : lt(settingsHistory.id, after))
    .orderBy(desc(settingsHistory.id))
    .limit(limit + 1)
  return pageById(rows, limit, toChange)
}

export async function findChange(db: ServerDetails, id: string): Promise<Row | undefined> {
  const [row] = await db.select().from(settingsHistory).where(eq(settingsHistory.id, id))
  return row
}

const toChange = ({ changedAt, ...row }: Row): SettingsChange => ({ ...row, changedAt: changedAt.toISOString() })
