import type { Migration } from '../migrate.ts'

/**
 * Where an event stands in the chain (docs/audit.md): its batch, numbered from 1, and its place in it, from 0. Rows from
 * before the chain have batch 0 until they are taken into it. What may be removed for a person's sake stands apart: what
 * the batch's root covers of it is a salted hash, which stays once salt and value are gone (`…_hash`).
 */
export const chainEvents: Migration = {
  version: 2,
  name: 'chain',
  statements: [
    `ALTER TABLE events
      ADD COLUMN IF NOT EXISTS batch UInt64 DEFAULT 0 CODEC(Delta, ZSTD),
      ADD COLUMN IF NOT EXISTS batch_index UInt32 DEFAULT 0 CODEC(Delta, ZSTD),
      ADD COLUMN IF NOT EXISTS personal String DEFAULT '' CODEC(ZSTD(3)),
      ADD COLUMN IF NOT EXISTS origin_salt String DEFAULT '' CODEC(ZSTD),
      ADD COLUMN IF NOT EXISTS personal_salt String DEFAULT '' CODEC(ZSTD),
      ADD COLUMN IF NOT EXISTS origin_hash String DEFAULT '' CODEC(ZSTD),
      ADD COLUMN IF NOT EXISTS personal_hash String DEFAULT '' CODEC(ZSTD),
      ADD INDEX IF NOT EXISTS events_batch batch TYPE minmax GRANULARITY 1`,
  ],
}
