import type { Migration } from '../migrate.ts'

/**
 * How long logs are kept is a setting, by which whole days are dropped; what is left here is the longest that can be set.
 */
export const boundLogs: Migration = {
  version: 5,
  name: 'log retention',
  statements: ['ALTER TABLE logs MODIFY TTL toDateTime(at) + INTERVAL 367 DAY'],
}
