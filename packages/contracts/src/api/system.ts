import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Nullable, Shape, Timestamp } from './common.ts'

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
