import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'

export const HealthState = Enumeration(['up', 'degraded', 'down'], { title: 'HealthState' })
export type HealthState = Static<typeof HealthState>

export const DependencyHealth = Shape('DependencyHealth', {
  name: Type.String(),
  state: HealthState,
  latencyMs: Nullable(Type.Number({ minimum: 0 })),
  since: Timestamp,
  detail: Nullable(Type.String({ description: 'What is wrong' })),
  remedy: Nullable(Type.String({ description: 'What to do about it' })),
})
export type DependencyHealth = Static<typeof DependencyHealth>

/** How many migrations a database has seen, and how many this release has. More: a newer release was there. */
export const SchemaVersion = Shape('SchemaVersion', {
  database: Enumeration(['server_details', 'communications', 'audit']),
  applied: Nullable(Type.Integer({ minimum: 0, description: 'Null where it can not be asked now' })),
  expected: Type.Integer({ minimum: 0 }),
})
export type SchemaVersion = Static<typeof SchemaVersion>

export const ServiceHealth = Shape('ServiceHealth', {
  service: Type.String(),
  state: HealthState,
  dependencies: Type.Array(DependencyHealth),
  // Of the databases that it answers for; an older release says nothing of them.
  schemas: Type.Optional(Type.Array(SchemaVersion)),
})
export type ServiceHealth = Static<typeof ServiceHealth>

export const SystemHealth = Shape('SystemHealth', {
  state: HealthState,
  since: Timestamp,
  version: Type.String({ description: 'The release' }),
  startedAt: Timestamp,
  uptimeSeconds: Type.Integer({ minimum: 0 }),
  services: Type.Array(ServiceHealth),
})
export type SystemHealth = Static<typeof SystemHealth>

export const VoiceStatus = Shape('VoiceStatus', {
  state: Enumeration(['off', 'starting', 'on', 'degraded']),
  reason: Nullable(Type.String()),
  remedy: Nullable(Type.String()),
  workers: Type.Integer({ minimum: 0 }),
})
export type VoiceStatus = Static<typeof VoiceStatus>

export const SystemProcess = Shape('SystemProcess', {
  instance: Type.String(),
  service: Type.String({ description: 'Or `server`, where one process is all of them' }),
  host: Type.String(),
  pid: Type.Integer(),
  version: Type.String(),
  startedAt: Timestamp,
  seenAt: Timestamp,
  away: Type.Boolean({ description: 'Nothing has been heard of it for a while' }),
  // Null: it is of a release that doesn't say.
  logLevel: Nullable(Enumeration(['silent', 'error', 'warn', 'info', 'debug'])),
  clockSkewMs: Type.Number({ description: 'How far its clock is ahead, as far as a message can tell' }),
})

export const SystemStatus = Shape('SystemStatus', {
  version: Type.String(),
  startedAt: Timestamp,
  uptimeSeconds: Type.Integer({ minimum: 0 }),
  processes: Type.Array(SystemProcess),
  counts: Fields({
    members: Type.Integer({ minimum: 0 }),
    bots: Type.Integer({ minimum: 0 }),
    channels: Type.Integer({ minimum: 0 }),
    roles: Type.Integer({ minimum: 0 }),
  }),
})
export type SystemStatus = Static<typeof SystemStatus>

const Bytes = Type.Integer({ minimum: 0 })
const Count = Type.Integer({ minimum: 0 })

export const StoredTable = Shape('StoredTable', {
  name: Type.String(),
  bytes: Bytes,
  rows: Type.Integer({ minimum: 0, description: 'As the engine estimates them' }),
})

export const StoredFiles = Shape('StoredFiles', { files: Count, bytes: Bytes })

/** What the Communication database and the object store hold, as messaging knows it. */
export const MediaStorage = Shape('MediaStorage', {
  objects: Count,
  bytes: Type.Integer({ minimum: 0, description: 'In the object store; what several files share is there once' }),
  channels: Type.Array(Fields({ channelId: Id, files: Count, bytes: Bytes }), {
    description: 'Those whose messages carry the most, the first twenty',
  }),
  conversations: StoredFiles,
  // In no message, and shown nowhere.
  unused: StoredFiles,
})
export type MediaStorage = Static<typeof MediaStorage>

const StoredDatabase = Fields({
  name: Enumeration(['server_details', 'communications', 'audit']),
  bytes: Nullable(Type.Integer({ minimum: 0, description: 'Null where it can not be asked now' })),
  tables: Type.Array(StoredTable),
})

export const SystemStorage = Shape('SystemStorage', {
  takenAt: Timestamp,
  databases: Type.Array(StoredDatabase),
  media: Nullable(MediaStorage),
  disks: Type.Array(Fields({ name: Enumeration(['data', 'audit']), free: Bytes, total: Bytes })),
  growth: Type.Array(
    Fields({ day: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\d$' }), stores: Type.Record(Type.String(), Bytes) }),
    {
      description: 'What each store held, a day, of the last 90 days',
    },
  ),
})
export type SystemStorage = Static<typeof SystemStorage>
