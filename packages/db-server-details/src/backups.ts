import { time } from '@conntext/database'
import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, pgTable, text, uuid } from 'drizzle-orm/pg-core'

/** Backups: asked for, under way, there and failed. The files themselves are where the settings say. */
export const backups = pgTable(
  'backups',
  {
    id: uuid().primaryKey(),
    state: text({ enum: ['waiting', 'running', 'done', 'failed'] }).notNull(),
    trigger: text({ enum: ['asked', 'scheduled'] }).notNull(),
    // Null for the schedule, and for the operator beside the server.
    askedBy: uuid('asked_by'),
    logs: boolean().notNull().default(false),
    // What it is called where backups are kept.
    name: text().notNull(),
    size: bigint({ mode: 'number' }),
    sha256: text(),
    doneBytes: bigint('done_bytes', { mode: 'number' }).notNull().default(0),
    totalBytes: bigint('total_bytes', { mode: 'number' }),
    rows: bigint({ mode: 'number' }),
    objects: integer(),
    // How many objects rows name that the object store did not have.
    missingObjects: integer('missing_objects'),
    error: text(),
    createdAt: time('created_at').notNull().defaultNow(),
    // Whoever makes it says so every few seconds.
    updatedAt: time('updated_at').notNull().defaultNow(),
    finishedAt: time('finished_at'),
  },
  (t) => [index('backups_open').on(t.createdAt).where(sql`${t.state} in ('waiting', 'running')`)],
)
