import type { Administrator } from '../roles/administration.ts'
import type { Transaction } from '../transaction.ts'
import { botErrors } from './errors.ts'
import { type BotRow, lockBotRow } from './queries.ts'

/**
 * A bot, which nobody else changes until the transaction ends, for somebody who manages bots. One with roles is only for
 * those who stand above it: whoever holds it holds its place as well.
 * @throws bot.notFound (404), member.notBelowYou (403)
 */
export async function manageBot(tx: Transaction, who: Administrator, id: string): Promise<BotRow> {
  const row = await lockBotRow(tx, id)
  if (!row) throw botErrors.notFound()
  if (row.roleIds.length > 0) who.assertOutranks({ userId: id, roleIds: row.roleIds })
  return row
}
