import type { Migration } from '../migrate.ts'

const ADDRESS = "ifNull(address, '')"
const IPV6 = `toIPv6OrDefault(${ADDRESS})`

// What the skip indexes are made over: they are used by conditions that say the very same.
/** The address, and the network in which it is one of many: a /24, of IPv6 a /64. */
export const ADDRESS_PLACES = `[${IPV6}, tupleElement(IPv6CIDRToRange(${IPV6}, if(isIPv4String(${ADDRESS}), 120, 64)), 1)]`
export const LOWER_REASON = "lowerUTF8(ifNull(reason, ''))"

/**
 * Facets of people, and what was searched for by reading everything: networks and words of a reason. The rollup by week
 * knows of each action by whom it was done, so it takes the place of the one by day, which knew only who did anything: of a
 * day there are nearly as many pairs of actor and action as events, of a week far fewer.
 */
export const addSearch: Migration = {
  version: 6,
  name: 'search',
  statements: [
    `ALTER TABLE events
      ADD PROJECTION IF NOT EXISTS events_by_actor_week (
        SELECT toMonday(occurred_at), service, action, severity, outcome, actor_kind, target_kind, actor_id, count()
        GROUP BY toMonday(occurred_at), service, action, severity, outcome, actor_kind, target_kind, actor_id
      ),
      ADD INDEX IF NOT EXISTS events_address ${ADDRESS_PLACES} TYPE bloom_filter(0.01) GRANULARITY 1,
      ADD INDEX IF NOT EXISTS events_reason ${LOWER_REASON} TYPE ngrambf_v1(3, 8192, 2, 0) GRANULARITY 1`,
    `ALTER TABLE events
      MATERIALIZE PROJECTION events_by_actor_week,
      MATERIALIZE INDEX events_address,
      MATERIALIZE INDEX events_reason`,
    'ALTER TABLE events DROP PROJECTION IF EXISTS events_by_actor_day',
  ],
}
