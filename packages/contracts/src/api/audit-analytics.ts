import { type Static, Type } from '@sinclair/typebox'
import { auditFilter } from './audit.ts'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'

const window = { from: Type.Optional(Timestamp), to: Type.Optional(Timestamp) }
const whole = Type.Integer({ minimum: 0 })

/** Without `from`, the last 30 days before `to`. */
export const AuditFacetsQuery = Fields({ ...auditFilter, ...window })
export type AuditFacetsQuery = Static<typeof AuditFacetsQuery>

const facet = Type.Array(Fields({ value: Nullable(Type.String()), count: whole }), {
  description: 'The most frequent ones first',
})

export const AuditFacets = Shape('AuditFacets', {
  from: Timestamp,
  to: Timestamp,
  total: whole,
  actions: facet,
  services: facet,
  severities: facet,
  outcomes: facet,
  actorKinds: facet,
  targetKinds: facet,
  actors: facet,
})
export type AuditFacets = Static<typeof AuditFacets>

export const AuditInterval = Enumeration(['quarterHour', 'hour', 'day', 'week', 'month'])
export type AuditInterval = Static<typeof AuditInterval>

export const AuditGroupBy = Enumeration([
  'action',
  'service',
  'severity',
  'outcome',
  'actorKind',
  'targetKind',
  'actorId',
  'targetId',
  'sessionId',
  'address',
])
export type AuditGroupBy = Static<typeof AuditGroupBy>

export const AuditStatsQuery = Fields({
  ...auditFilter,
  ...window,
  groupBy: Type.Optional(AuditGroupBy),
  interval: Type.Optional(AuditInterval),
  timeZone: Type.Optional(
    Type.String({ minLength: 1, maxLength: 64, description: 'In which days begin, such as `Europe/Berlin`; else UTC' }),
  ),
  top: Type.Optional(
    Type.String({ pattern: '^([1-9][0-9]?|100)$', description: 'How many groups at most: 1 to 100, 10 unless told' }),
  ),
})
export type AuditStatsQuery = Static<typeof AuditStatsQuery>

const series = Type.Array(whole, { description: 'A count for each of `starts`; empty without an interval' })

export const AuditStats = Shape('AuditStats', {
  from: Timestamp,
  to: Timestamp,
  timeZone: Type.String(),
  total: whole,
  starts: Type.Array(Timestamp, { description: 'Where the intervals begin, none left out; weeks on Mondays' }),
  series,
  groups: Type.Array(Fields({ value: Nullable(Type.String()), count: whole, series }), {
    description: 'The largest first; empty without `groupBy`',
  }),
  other: Type.Object(
    { count: whole, series },
    { additionalProperties: false, description: 'What is in none of the groups' },
  ),
})
export type AuditStats = Static<typeof AuditStats>

export const MAX_AUDIT_SQL = 10_000

export const AuditSqlQuery = Shape('AuditSqlQuery', {
  sql: Type.String({
    minLength: 1,
    maxLength: MAX_AUDIT_SQL,
    description: 'One SELECT in the dialect of ClickHouse, over the view `audit_events`',
  }),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Rows at most; 1000 unless told' })),
})
export type AuditSqlQuery = Static<typeof AuditSqlQuery>

export const AuditSqlResult = Shape('AuditSqlResult', {
  columns: Type.Array(Fields({ name: Type.String(), type: Type.String() })),
  rows: Type.Array(Type.Array(Type.Unknown()), {
    description: 'Values in the order of the columns. Whole numbers beyond 2^53 are strings.',
  }),
  truncated: Type.Boolean({ description: 'There were more rows than asked for' }),
  statistics: Fields({
    elapsedMs: Type.Number({ minimum: 0 }),
    rowsRead: whole,
    bytesRead: whole,
  }),
})
export type AuditSqlResult = Static<typeof AuditSqlResult>

export const AuditExportFormat = Enumeration(['ndjson', 'csv', 'parquet'])
export type AuditExportFormat = Static<typeof AuditExportFormat>

/** Oldest first. Without `from`, everything there is before `to`. */
export const AuditExportQuery = Fields({
  ...auditFilter,
  ...window,
  format: AuditExportFormat,
  compression: Type.Optional(Enumeration(['gzip', 'zstd'])),
  afterId: Type.Optional({ ...Id, description: 'The last event that one has: the export goes on behind it' }),
})
export type AuditExportQuery = Static<typeof AuditExportQuery>

export const AuditTailQuery = Fields(auditFilter)
export type AuditTailQuery = Static<typeof AuditTailQuery>

/** The least that each category of events is kept for, in days; what is refused, fails or is grave is `security`. */
export const auditCategories = {
  security: { title: 'Warnings, refusals and failures', minimumDays: 90 },
  administration: { title: 'Settings, roles, channels, keys, and the audit trail itself', minimumDays: 180 },
  moderation: { title: 'What is done to members and to what they wrote', minimumDays: 90 },
  accounts: { title: 'Accounts, logins, second factors and tokens', minimumDays: 30 },
  reads: { title: 'Who read the audit trail and the logs', minimumDays: 30 },
  activity: { title: 'Everything else: files, conversations, calls', minimumDays: 1 },
} as const
export type AuditCategory = keyof typeof auditCategories
export const auditCategoryNames = Object.keys(auditCategories) as AuditCategory[]

const MAX_RETENTION_DAYS = 36_500
const days = Nullable(
  Type.Integer({ minimum: 1, maximum: MAX_RETENTION_DAYS, description: 'Null: kept for ever, as at first' }),
)

export const AuditRetention = Shape('AuditRetention', {
  categories: Type.Array(
    Fields({
      name: Enumeration(auditCategoryNames),
      title: Type.String(),
      days,
      minimumDays: Type.Integer(),
      actions: Type.Array(Type.String(), { description: 'What belongs to it; empty for `security`, which is of all' }),
    }),
  ),
})
export type AuditRetention = Static<typeof AuditRetention>

export const AuditRetentionUpdate = Shape('AuditRetentionUpdate', {
  security: days,
  administration: days,
  moderation: days,
  accounts: days,
  reads: days,
  activity: days,
} satisfies Record<AuditCategory, typeof days>)
export type AuditRetentionUpdate = Static<typeof AuditRetentionUpdate>
