import type { Migration } from '../migrate.ts'

/**
 * One row for each audit event. Reads go newest first through a window of time, so time leads the order; who and what
 * an event is about is found by skip indexes. The engine remembers the tokens of the latest inserts, so that one which
 * was stored, but whose answer got lost, isn't stored again.
 */
export const createEvents: Migration = {
  version: 1,
  name: 'events',
  statements: [
    `CREATE TABLE IF NOT EXISTS events (
      id UUID,
      occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
      received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
      service LowCardinality(String),
      action LowCardinality(String),
      severity LowCardinality(String),
      outcome LowCardinality(String),
      actor_kind LowCardinality(String),
      actor_id Nullable(UUID),
      session_id Nullable(UUID),
      address Nullable(String),
      user_agent Nullable(String),
      target_kind LowCardinality(String),
      target_id Nullable(String),
      data String CODEC(ZSTD(3)),
      reason Nullable(String),
      request_id Nullable(String),
      INDEX events_id id TYPE bloom_filter(0.01) GRANULARITY 1,
      INDEX events_actor actor_id TYPE bloom_filter(0.01) GRANULARITY 1,
      INDEX events_target target_id TYPE bloom_filter(0.01) GRANULARITY 1,
      INDEX events_action action TYPE set(100) GRANULARITY 1
    )
    ENGINE = MergeTree
    PARTITION BY toYYYYMM(occurred_at)
    ORDER BY (occurred_at, id)
    SETTINGS non_replicated_deduplication_window = 1000`,
  ],
}
