import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'

/** The pool, or the transaction that is open, of whichever database: for what is the same in all of them. */
// biome-ignore lint/suspicious/noExplicitAny: the schema of the database plays no part here
export type Executor = PgDatabase<PgQueryResultHKT, any, any>
