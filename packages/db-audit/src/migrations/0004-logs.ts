import type { Migration } from '../migrate.ts'

/**
 * One row for each line that a service logged. Ids are text, since UUIDs are not in the order of their time here. Apart from the audit: these may be lost, and go after two weeks, a day at a
 * time. Audit events learn by which trace they can be found.
 */
export const createLogs: Migration = {
  version: 4,
  name: 'logs',
  statements: [
    `CREATE TABLE IF NOT EXISTS logs (
      id String CODEC(ZSTD),
      at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
      service LowCardinality(String),
      instance LowCardinality(String),
      level Enum8('debug' = 20, 'info' = 30, 'warn' = 40, 'error' = 50),
      message String CODEC(ZSTD(3)),
      request_id Nullable(String),
      trace_id Nullable(String),
      fields String CODEC(ZSTD(3)),
      INDEX logs_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
      INDEX logs_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
    )
    ENGINE = MergeTree
    PARTITION BY toDate(at)
    ORDER BY (at, id)
    TTL toDateTime(at) + INTERVAL 14 DAY
    SETTINGS non_replicated_deduplication_window = 1000, ttl_only_drop_parts = 1`,
    'ALTER TABLE events ADD COLUMN IF NOT EXISTS trace_id Nullable(String)',
  ],
}
