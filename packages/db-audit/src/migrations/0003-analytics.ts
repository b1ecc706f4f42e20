import type { Migration } from '../migrate.ts'

// What tells of a person stands apart (migration 2); both are JSON objects without a field in common.
const WHOLE_DATA = `multiIf(
  personal IN ('', '{}'), events.data,
  events.data = '{}', personal,
  concat(substring(events.data, 1, length(events.data) - 1), ',', substring(personal, 2)))`

/**
 * Rollups, more skip indexes, and what SQL from outside may read. The rollups are projections, not materialised views: a
 * projection is a part of the parts that it sums up, so an insert that is repeated, a row that is erased and a cut by
 * retention change both at once or neither. A quarter of an hour fits into the days of every time zone.
 */
export const addAnalytics: Migration = {
  version: 3,
  name: 'analytics',
  statements: [
    // Before any row is deleted: without it the engine refuses to delete from a table with projections.
    "ALTER TABLE events MODIFY SETTING lightweight_mutation_projection_mode = 'rebuild'",
    // The next migration adds the column as well; the view is made once.
    `ALTER TABLE events
      ADD PROJECTION IF NOT EXISTS events_by_quarter_hour (
        SELECT toStartOfFifteenMinutes(occurred_at), service, action, severity, outcome, actor_kind, target_kind, count()
        GROUP BY toStartOfFifteenMinutes(occurred_at), service, action, severity, outcome, actor_kind, target_kind
      ),
      ADD PROJECTION IF NOT EXISTS events_by_actor_day (
        SELECT toStartOfDay(occurred_at), outcome, actor_kind, actor_id, count()
        GROUP BY toStartOfDay(occurred_at), outcome, actor_kind, actor_id
      ),
      ADD INDEX IF NOT EXISTS events_session session_id TYPE bloom_filter(0.01) GRANULARITY 1,
      ADD INDEX IF NOT EXISTS events_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
      ADD COLUMN IF NOT EXISTS trace_id Nullable(String)`,
    `ALTER TABLE events
      MATERIALIZE PROJECTION events_by_quarter_hour,
      MATERIALIZE PROJECTION events_by_actor_day,
      MATERIALIZE INDEX events_session,
      MATERIALIZE INDEX events_request`,
    // All that SQL from outside can read.
    `CREATE VIEW IF NOT EXISTS audit_events AS
      SELECT id, occurred_at, received_at, service, action, severity, outcome, actor_kind, actor_id, session_id, address,
        user_agent, target_kind, target_id, ${WHOLE_DATA} AS data, reason, request_id, trace_id, batch, batch_index
      FROM events`,
  ],
}
