import { randomUUIDv7 } from 'bun'
import { createBaseline } from '../lib/postgres.ts'
import { stamped } from '../lib/sockets.ts'

const CONNECTIONS = 4

export type Baseline = Awaited<ReturnType<typeof openBaseline>>

/** A table of the same columns and indexes as messages have at the least, in the server's own Postgres. */
export async function openBaseline(data: string) {
  const sql = await createBaseline(data, CONNECTIONS)
  await sql`create table messages (id uuid primary key, channel_id uuid not null, author_id uuid not null,
    seq bigint not null, nonce text, content text not null, reply_to uuid, created_at timestamptz(3) not null,
    edited_at timestamptz(3), deleted_at timestamptz(3))`
  await sql`create unique index on messages (channel_id, seq)`
  await sql`create unique index on messages (author_id, channel_id, nonce) where nonce is not null`
  const channel_id = randomUUIDv7()
  const author_id = randomUUIDv7()
  let seq = 0
  const row = () => {
    seq += 1
    const created_at = new Date()
    return { id: randomUUIDv7(), channel_id, author_id, seq, nonce: `n${seq}`, content: stamped(), created_at }
  }
  return {
    /** Inserts `total` rows, `atOnce` of them under way at a time: over several connections where there are that many. */
    async insert({ atOnce, total }: { atOnce: number; total: number }): Promise<void> {
      const connections = atOnce < CONNECTIONS ? 1 : CONNECTIONS
      const rows = atOnce / connections
      let left = total
      const work = async () => {
        while (left > 0) {
          left -= rows
          await sql`insert into messages ${sql(Array.from({ length: rows }, row))}`
        }
      }
      await Promise.all(Array.from({ length: connections }, work))
    },
    [Symbol.asyncDispose]: () => sql.end(),
  }
}
