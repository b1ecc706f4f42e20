import { bytea, time } from '@conntext/database'
import { pgTable, text, uuid } from 'drizzle-orm/pg-core'

/**
 * One service's data keys, each wrapped by a key derived from the master key, which is never stored. What must be
 * readable later is sealed under the newest `seal` key; the one `hash` key is the root of the keyed hashes, and outlives
 * every rotation.
 */
export const dataKeyTable = <const N extends string>(name: N) =>
  pgTable(name, {
    id: uuid().primaryKey(),
    purpose: text({ enum: ['seal', 'hash'] })
      .notNull()
      .default('seal'),
    wrapped: bytea().notNull(),
    createdAt: time('created_at').notNull().defaultNow(),
    // A retired key opens what was sealed under it, and seals nothing new.
    retiredAt: time('retired_at'),
  })

export type DataKeyTable = ReturnType<typeof dataKeyTable<string>>
