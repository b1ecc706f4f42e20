import { sql } from 'drizzle-orm'
import { bigint, index, integer, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** One service's outbox: what its transactions owe to other services. */
export const outboxTable = <const N extends string>(name: N) =>
  pgTable(
    name,
    {
      position: bigint({ mode: 'number' }).generatedAlwaysAsIdentity().primaryKey(),
      id: uuid().notNull().unique(),
      topic: text().notNull(),
      payload: jsonb().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true, mode: 'string' }).notNull().defaultNow(),
      deliveredAt: timestamp('delivered_at', { withTimezone: true, mode: 'string' }),
      refusals: integer().notNull().default(0),
      refusedWith: text('refused_with'),
    },
    (t) => [
      index(`${name}_due`).on(t.topic, t.position).where(sql`${t.deliveredAt} is null`),
      index(`${name}_delivered`).on(t.deliveredAt).where(sql`${t.deliveredAt} is not null`),
    ],
  )

export type OutboxTable = ReturnType<typeof outboxTable<string>>
