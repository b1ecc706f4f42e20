import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Fields, Id, Nullable, Shape, Timestamp } from './common.ts'
import { PermissionName } from './identity.ts'

/** Without a channel: by the roles alone. Without a user: one's own. */
export const EffectiveQuery = Fields({ channelId: Type.Optional(Id), userId: Type.Optional(Id) })
export type EffectiveQuery = Static<typeof EffectiveQuery>

const RoleIds = Type.Array(Id)

const NotGranted = Shape('DecidedByNobody', {
  kind: Type.Literal('notGranted', { description: 'No role and no override grants it' }),
})
const MissingMfa = Shape('DecidedByMissingMfa', {
  kind: Type.Literal('mfa', { description: 'The second factor is missing' }),
  roleIds: Type.Array(Id, {
    description: 'The roles that would grant it to somebody with a second factor; none where the server asks for one',
  }),
})
const ByOverride = Shape('DecidedByOverride', {
  kind: Type.Literal('override', { description: 'A channel, or its category, allows or denies it' }),
  channelId: Type.String({ ...Id, description: 'The channel, or its category' }),
  targetKind: Enumeration(['role', 'member']),
  targetIds: Type.Array(Id, { minItems: 1, description: 'The member, or those of their roles that together decide' }),
  effect: Enumeration(['allow', 'deny']),
})
const HidingReason = Type.Union([NotGranted, MissingMfa, ByOverride])
export type HidingReason = Static<typeof HidingReason>

/** What decided whether somebody may do something: the last word on it, in the order of the rules. */
export const DecisionReason = Type.Union(
  [
    NotGranted,
    MissingMfa,
    ByOverride,
    Shape('DecidedByOwnership', { kind: Type.Literal('owner') }),
    Shape('DecidedByAdministrator', {
      kind: Type.Literal('administrator', { description: 'These roles grant everything' }),
      roleIds: RoleIds,
    }),
    Shape('DecidedByRole', { kind: Type.Literal('role', { description: 'These roles grant it' }), roleIds: RoleIds }),
    Shape('DecidedByHiding', {
      kind: Type.Literal('hidden', { description: 'In a channel that they cannot see they can do nothing' }),
      by: HidingReason,
    }),
    Shape('DecidedByTimeout', { kind: Type.Literal('timeout'), until: Timestamp }),
    Shape('DecidedByStanding', {
      kind: Type.Literal('standing', { description: 'They are not a member' }),
      standing: Enumeration(['banned', 'left', 'deleted']),
    }),
    Shape('DecidedByScope', {
      kind: Type.Literal('scope', { description: "They may; the API token that was used isn't made for it" }),
    }),
  ],
  { title: 'DecisionReason' },
)
export type DecisionReason = Static<typeof DecisionReason>

export const PermissionDecision = Shape('PermissionDecision', {
  permission: PermissionName,
  allowed: Type.Boolean(),
  by: DecisionReason,
})
export type PermissionDecision = Static<typeof PermissionDecision>

export const EffectivePermissions = Shape('EffectivePermissions', {
  userId: Id,
  channelId: Nullable(Id),
  permissions: Type.Array(PermissionName),
  decisions: Type.Array(PermissionDecision, { description: 'For every permission there is, what decided it' }),
})
export type EffectivePermissions = Static<typeof EffectivePermissions>
