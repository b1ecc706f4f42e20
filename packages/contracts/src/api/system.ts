import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Nullable, Shape, Timestamp } from './common.ts'

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

export const ServiceHealth = Shape('ServiceHealth', {
  service: Type.String(),
  state: HealthState,
  dependencies: Type.Array(DependencyHealth),
})
export type ServiceHealth = Static<typeof ServiceHealth>

export const SystemHealth = Shape('SystemHealth', { state: HealthState, services: Type.Array(ServiceHealth) })
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
