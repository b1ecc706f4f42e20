import { bytea, time } from '@conntext/database'
import { sql } from 'drizzle-orm'
import { bigint, boolean, index, integer, jsonb, pgTable, text, uuid } from 'drizzle-orm/pg-core'

// The audit trail's proof. What is proven, the events, is in ClickHouse. docs/audit.md tells how it hangs together.

/** One row: which log it is. */
export const auditLog = pgTable('audit_log', {
  id: integer().primaryKey(),
  logId: uuid('log_id').notNull(),
  createdAt: time('created_at').notNull().defaultNow(),
  // When the events from before the chain had all been taken into it.
  adoptedAt: time('adopted_at'),
})

/** The keys that sign the log, each signed by the one before. */
export const auditKeys = pgTable('audit_keys', {
  // The thumbprint of the public key (RFC 7638).
  id: text().primaryKey(),
  position: integer().notNull().unique(),
  publicKey: bytea('public_key').notNull(),
  // The private key; of a retired one its public key, which proves that it was made here.
  sealed: bytea().notNull(),
  dataKeyId: uuid('data_key_id').notNull(),
  createdAt: time('created_at').notNull(),
  retiredAt: time('retired_at'),
  // The predecessor's signature over this key; null for the first.
  endorsement: bytea(),
})

/** Never changed, never deleted, numbered from 1 without gaps. */
export const auditBatches = pgTable(
  'audit_batches',
  {
    number: bigint({ mode: 'number' }).primaryKey(),
    kind: text({ enum: ['live', 'adopted'] }).notNull(),
    size: integer().notNull(),
    // How many events all batches before it hold.
    start: bigint({ mode: 'number' }).notNull(),
    root: bytea().notNull(),
    previous: bytea(),
    at: time('at').notNull(),
    keyId: text('key_id').notNull(),
    // The log's complete subtrees that end with this batch, from its own hash up.
    subtrees: bytea().notNull(),
    // Over the log's checkpoint after this batch.
    signature: bytea().notNull(),
    // For each event its id (16 bytes) and its leaf's hash (32): which row it was that doesn't fit the root.
    leaves: bytea().notNull(),
    // Between these are all ids of its events: a repeat is looked for only where it could be.
    leastId: uuid('least_id').notNull().default('00000000-0000-0000-0000-000000000000'),
    greatestId: uuid('greatest_id').notNull().default('ffffffff-ffff-ffff-ffff-ffffffffffff'),
  },
  (t) => [index('audit_batches_ids').on(t.greatestId, t.leastId)],
)

/** The rows of the latest batches, until it is certain that ClickHouse has them for good. */
export const auditPending = pgTable('audit_pending', {
  number: bigint({ mode: 'number' }).primaryKey(),
  rows: bytea().notNull(),
  dataKeyId: uuid('data_key_id').notNull(),
  // When ClickHouse said that it has them.
  acknowledgedAt: time('acknowledged_at'),
})

/** Which rows of a batch have been removed by retention: signed, so that nobody else can say so. */
export const auditCuts = pgTable('audit_cuts', {
  batch: bigint({ mode: 'number' }).primaryKey(),
  // A bit for each event of the batch.
  removed: bytea().notNull(),
  at: time('at').notNull(),
  keyId: text('key_id').notNull(),
  signature: bytea().notNull(),
})

/** Whose personal data has been removed from the trail: signed, so that nobody else can say so. */
export const auditErasures = pgTable(
  'audit_erasures',
  {
    subject: uuid().primaryKey(),
    at: time('at').notNull(),
    // Until then the rows are still to be changed.
    doneAt: time('done_at'),
    keyId: text('key_id').notNull(),
    signature: bytea().notNull(),
  },
  (t) => [index('audit_erasures_due').on(t.at).where(sql`${t.doneAt} is null`)],
)

/** Verifications, asked for, under way and ended. */
export const auditVerifications = pgTable(
  'audit_verifications',
  {
    id: uuid().primaryKey(),
    state: text({ enum: ['waiting', 'running', 'done', 'failed'] }).notNull(),
    // Null for the operator, from beside the server.
    askedBy: uuid('asked_by'),
    fromBatch: bigint('from_batch', { mode: 'number' }),
    toBatch: bigint('to_batch', { mode: 'number' }),
    checkpoint: text(),
    batches: bigint({ mode: 'number' }).notNull().default(0),
    events: bigint({ mode: 'number' }).notNull().default(0),
    totalEvents: bigint('total_events', { mode: 'number' }),
    intact: boolean(),
    findingCount: integer('finding_count').notNull().default(0),
    findings: jsonb().notNull().default([]),
    error: text(),
    createdAt: time('created_at').notNull().defaultNow(),
    // Whoever carries it out says so every few seconds.
    updatedAt: time('updated_at').notNull().defaultNow(),
    finishedAt: time('finished_at'),
  },
  (t) => [index('audit_verifications_created').on(t.createdAt)],
)

/** For how many days events of a category are kept; for ever where there is no row. */
export const auditRetention = pgTable('audit_retention', {
  category: text().primaryKey(),
  days: integer().notNull(),
})

/**
 * What is done to the trail step by step, over ClickHouse, while no transaction is open: how far it is, so that whoever
 * comes after one that died goes on from there.
 */
export const auditTasks = pgTable('audit_tasks', {
  name: text({ enum: ['retention', 'erasure'] }).primaryKey(),
  // Who is at it, and until when others leave it alone unless told again.
  holder: uuid(),
  heldUntil: time('held_until'),
  // The step that comes next, with what it takes; null between two tasks.
  step: jsonb(),
})
