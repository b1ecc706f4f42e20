import type { Query } from './client.ts'
import { ADDRESS_PLACES, LOWER_REASON } from './migrations/0006-search.ts'

/** Both ends belong to it. Every read of events has one, so that none ever scans all partitions by accident. */
export type TimeWindow = { from: Date; to: Date }

/** What events are chosen by; of what isn't given, all. */
export type EventFilter = {
  ids?: string[]
  action?: string
  /** Any of these, or any that begins with one of `actionPrefixes`. */
  actions?: string[]
  actionPrefixes?: string[]
  actorId?: string
  actorKind?: string
  targetId?: string
  targetKind?: string
  sessionId?: string
  /** In CIDR notation, with its prefix. */
  network?: string
  requestId?: string
  /** Within the reason, whatever the case. */
  reason?: string
  service?: string
  outcome?: string
  severity?: string
  severities?: string[]
}

const ADDRESS = "ifNull(address, '')"
const IS_ADDRESS = `(isIPv4String(${ADDRESS}) OR isIPv6String(${ADDRESS}))`

const CONDITIONS: { [K in keyof EventFilter]-?: string } = {
  ids: 'id IN ({ids:Array(UUID)})',
  action: 'action = {action:String}',
  actions: 'action IN ({actions:Array(String)})',
  actionPrefixes: 'arrayExists(prefix -> startsWith(action, prefix), {actionPrefixes:Array(String)})',
  actorId: 'actor_id = {actorId:UUID}',
  actorKind: 'actor_kind = {actorKind:String}',
  targetId: 'target_id = {targetId:String}',
  targetKind: 'target_kind = {targetKind:String}',
  sessionId: 'session_id = {sessionId:UUID}',
  // The function fails for what is no address.
  network: `(${IS_ADDRESS} AND isIPAddressInRange(if(${IS_ADDRESS}, ${ADDRESS}, '::'), {network:String}))`,
  requestId: 'request_id = {requestId:String}',
  reason: `${LOWER_REASON} LIKE lowerUTF8({reason:String})`,
  service: 'service = {service:String}',
  outcome: 'outcome = {outcome:String}',
  severity: 'severity = {severity:String}',
  severities: 'severity IN ({severities:Array(String)})',
}

/** The conditions of a filter alone, without a window. */
export function conditionsOf(filter: EventFilter): { conditions: string[]; params: Record<string, unknown> } {
  const given = (key: keyof EventFilter) => filter[key] !== undefined
  const wanted = (Object.keys(CONDITIONS) as (keyof EventFilter)[]).filter(given)
  const either = given('actions') && given('actionPrefixes')
  const conditions = wanted
    .filter((key) => !(either && (key === 'actions' || key === 'actionPrefixes')))
    .map((key) => CONDITIONS[key])
  if (either) conditions.push(`(${CONDITIONS.actions} OR ${CONDITIONS.actionPrefixes})`)
  const params: Record<string, unknown> = Object.fromEntries(wanted.map((key) => [key, filter[key]]))
  const { network, reason } = filter
  if (network !== undefined) {
    conditions.push(...nearbyOf(network))
    params.networkAddress = network.split('/')[0]
  }
  if (reason !== undefined) params.reason = `%${reason.replace(/[\\%_]/g, '\\$&')}%`
  return { conditions, params }
}

/** What the index is asked by before each address is looked at; nothing where the network is larger than those it knows. */
function nearbyOf(network: string): string[] {
  const isV4 = !network.includes(':')
  const prefix = Number(network.split('/')[1])
  const address = 'toIPv6({networkAddress:String})'
  if (prefix === (isV4 ? 32 : 128)) return [`has(${ADDRESS_PLACES}, ${address})`]
  if (prefix < (isV4 ? 24 : 64)) return []
  return [`has(${ADDRESS_PLACES}, tupleElement(IPv6CIDRToRange(${address}, ${isV4 ? 120 : 64}), 1))`]
}

/** The condition for events of a window that pass a filter, to stand behind WHERE. */
export function matching({ from, to }: TimeWindow, filter: EventFilter): Query {
  const { conditions, params } = conditionsOf(filter)
  const window = [
    'occurred_at >= fromUnixTimestamp64Milli({from:Int64})',
    'occurred_at <= fromUnixTimestamp64Milli({to:Int64})',
  ]
  return {
    sql: [...window, ...conditions].join(' AND '),
    params: { from: from.getTime(), to: to.getTime(), ...params },
  }
}
