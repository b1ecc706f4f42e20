import { bytea, time } from '@conntext/database'
import { index, integer, pgTable, uuid } from 'drizzle-orm/pg-core'

/**
 * One service's idempotency keys, in the database that the service writes. Only keyed hashes and sealed answers: the
 * table tells nothing to whoever reads it without the key.
 */
export const idempotencyTable = <const N extends string>(name: N) =>
  pgTable(
    name,
    {
      id: bytea().primaryKey(),
      // Of what was asked: the same key with another body is a client's mistake.
      request: bytea().notNull(),
      // Whose turn it is; only that one may store the answer.
      claim: uuid().notNull(),
      claimedUntil: time('claimed_until').notNull(),
      // Null while the first request is under way.
      status: integer(),
      answer: bytea(),
      expiresAt: time('expires_at').notNull(),
    },
    (t) => [index(`${name}_expires`).on(t.expiresAt)],
  )

export type IdempotencyTable = ReturnType<typeof idempotencyTable<string>>
