import { slowModeSends } from '@conntext/db-communications'
import { sql } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'

/** Somebody who writes in a channel where they have to wait between two messages; 0 seconds for who has not. */
export type SlowSend = { channelId: string; authorId: string; slowModeSeconds: number }

// Ids are of one length, so the parts can't run into each other.
const keyOf = ({ channelId, authorId }: Pick<SlowSend, 'channelId' | 'authorId'>) => channelId + authorId

/**
 * When those who have to wait last wrote. Only under the channels' stream locks does it hold: whoever writes there
 * holds them.
 */
export class SlowMode {
  readonly #taken: SlowSend[] = []

  private constructor(
    private readonly last: Map<string, number>,
    private readonly now: number,
  ) {}

  /** Asks the database only where somebody has to wait. */
  static async of(tx: Transaction, sends: SlowSend[], now: Date): Promise<SlowMode> {
    const slow = sends.filter((one) => one.slowModeSeconds > 0)
    return new SlowMode(slow.length === 0 ? new Map() : await findLast(tx, slow), now.getTime())
  }

  /** How many seconds they still have to wait; 0 where they may write, which is then taken note of. */
  take(send: SlowSend): number {
    if (send.slowModeSeconds === 0) return 0
    const last = this.last.get(keyOf(send))
    const pause = send.slowModeSeconds * 1000
    // The clocks of two instances differ a little: nobody waits longer than the whole pause for that.
    const left = last === undefined ? 0 : Math.min(pause, last + pause - this.now)
    if (left > 0) return Math.ceil(left / 1000)
    this.last.set(keyOf(send), this.now)
    this.#taken.push(send)
    return 0
  }

  /** Writes down what was taken note of. */
  async record(tx: Transaction): Promise<void> {
    if (this.#taken.length === 0) return
    const sentAt = new Date(this.now)
    await tx
      .insert(slowModeSends)
      .values(this.#taken.map(({ channelId, authorId }) => ({ channelId, authorId, sentAt })))
      .onConflictDoUpdate({
        target: [slowModeSends.channelId, slowModeSends.authorId],
        set: { sentAt: sql`excluded.sent_at` },
      })
  }
}

async function findLast(tx: Transaction, sends: SlowSend[]): Promise<Map<string, number>> {
  const column = (field: 'channelId' | 'authorId') => sql.param(sends.map((one) => one[field]))
  const rows = await tx
    .select()
    .from(slowModeSends)
    .where(
      sql`(${slowModeSends.channelId}, ${slowModeSends.authorId}) in (
        select * from unnest(${column('channelId')}::uuid[], ${column('authorId')}::uuid[]))`,
    )
  return new Map(rows.map((row) => [keyOf(row), row.sentAt.getTime()]))
}
