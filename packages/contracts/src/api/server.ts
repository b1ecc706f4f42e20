import { type Static, Type } from '@sinclair/typebox'
import { channelPermissions } from '../permissions.ts'
import { Enumeration, Fields, Id, Nullable, Page, Shape, Timestamp } from './common.ts'

export const RegistrationMode = Enumeration(['open', 'invite', 'closed'], { title: 'RegistrationMode' })

const Limits = {
  maxMessageLength: Type.Integer({ minimum: 1, maximum: 32_000, description: 'Characters in a message' }),
  maxFileBytes: Type.Integer({ minimum: 1, maximum: 10_737_418_240, description: 'Bytes in one file' }),
  maxMediaPerMessage: Type.Integer({ minimum: 0, maximum: 32 }),
}
export const ServerLimits = Shape('ServerLimits', Limits)
export type ServerLimits = Static<typeof ServerLimits>

export const MAX_RETENTION_DAYS = 3_650
const Retention = Nullable(
  Type.Integer({
    minimum: 1,
    maximum: MAX_RETENTION_DAYS,
    description: 'Days after which messages go; null: they stay',
  }),
)

const CallRetention = Nullable(
  Type.Integer({
    minimum: 1,
    maximum: MAX_RETENTION_DAYS,
    description: 'Days after which it is forgotten who was in which call; null: it stays known',
  }),
)

const Name = Type.String({ minLength: 1, maxLength: 100, pattern: '\\S' })
const Description = Nullable(Type.String({ maxLength: 1000 }))

const MaintenanceMessage = Nullable(Type.String({ maxLength: 500, description: 'For the members' }))
const MaintenanceUntil = Nullable(
  Type.String({
    format: 'date-time',
    description: 'When it is expected to be over; it ends when somebody ends it',
  }),
)

/** As everybody may know it. */
export const ServerMaintenance = Shape('ServerMaintenance', {
  message: MaintenanceMessage,
  since: Timestamp,
  until: MaintenanceUntil,
})
export type ServerMaintenance = Static<typeof ServerMaintenance>

/** As administrators see it. */
export const Maintenance = Shape('Maintenance', {
  enabled: Type.Boolean(),
  message: MaintenanceMessage,
  since: Nullable(Timestamp),
  until: MaintenanceUntil,
  by: Nullable(Id),
})
export type Maintenance = Static<typeof Maintenance>

export const MaintenanceUpdate = Shape('MaintenanceUpdate', {
  enabled: Type.Boolean(),
  message: Type.Optional(MaintenanceMessage),
  until: Type.Optional(MaintenanceUntil),
})
export type MaintenanceUpdate = Static<typeof MaintenanceUpdate>

export const ServerInfo = Shape('Server', {
  name: Type.String(),
  description: Nullable(Type.String()),
  iconId: Nullable(Id),
  registrationMode: RegistrationMode,
  requireMfa: Type.Boolean({ description: 'Whether everybody needs a second factor' }),
  requireModerationReason: Type.Boolean({ description: 'Whether moderators must say why' }),
  systemChannelId: Nullable(Id),
  messageRetentionDays: Retention,
  callRetentionDays: CallRetention,
  limits: ServerLimits,
  maintenance: Nullable(ServerMaintenance),
  createdAt: Timestamp,
})
export type ServerInfo = Static<typeof ServerInfo>

export const ServerPatch = Shape('ServerPatch', {
  name: Type.Optional(Name),
  description: Type.Optional(Description),
  iconId: Type.Optional(Nullable(Id)),
  registrationMode: Type.Optional(RegistrationMode),
  requireMfa: Type.Optional(Type.Boolean()),
  requireModerationReason: Type.Optional(Type.Boolean()),
  systemChannelId: Type.Optional(Nullable(Id)),
  messageRetentionDays: Type.Optional(Retention),
  callRetentionDays: Type.Optional(CallRetention),
  limits: Type.Optional(Type.Partial(Fields(Limits), { additionalProperties: false })),
})
export type ServerPatch = Static<typeof ServerPatch>

/** One change of the server settings. */
export const SettingsChange = Shape('SettingsChange', {
  id: Id,
  changedAt: Timestamp,
  changedBy: Nullable(Id),
  reason: Nullable(Type.String()),
  restores: Nullable(Type.String({ format: 'uuid', description: 'The change that this one took back' })),
  changes: Type.Record(Type.String(), Fields({ from: Type.Unknown(), to: Type.Unknown() })),
})
export type SettingsChange = Static<typeof SettingsChange>
export const SettingsChangePage = Page('SettingsChangePage', SettingsChange)

export const ChannelType = Enumeration(['text', 'voice', 'category'], { title: 'ChannelType' })
const ChannelName = Type.String({ minLength: 1, maxLength: 100, pattern: '\\S' })
const SlowMode = Type.Integer({ minimum: 0, maximum: 21_600, description: 'For text channels' })
const Topic = Nullable(Type.String({ maxLength: 1024 }))

/** Of a voice channel; null: as much as the server and its own settings let. */
const CallLimits = {
  userLimit: Nullable(
    Type.Integer({
      minimum: 1,
      maximum: 1_000,
      description: 'How many may be in its call; who has `voice.move` comes in all the same. For voice channels',
    }),
  ),
  audioBitrate: Nullable(
    Type.Integer({
      minimum: 8_000,
      maximum: 510_000,
      description: 'Bits per second of one microphone, or of one screen’s sound, at most. For voice channels',
    }),
  ),
  videoLimit: Nullable(
    Type.Integer({
      minimum: 0,
      maximum: 1_000,
      description: 'How many may show a camera or a screen at once. For voice channels',
    }),
  ),
}
const PatchedCallLimits = {
  userLimit: Type.Optional(CallLimits.userLimit),
  audioBitrate: Type.Optional(CallLimits.audioBitrate),
  videoLimit: Type.Optional(CallLimits.videoLimit),
}

export const Channel = Shape('Channel', {
  id: Id,
  name: Type.String(),
  type: ChannelType,
  parentId: Nullable(Id),
  topic: Nullable(Type.String()),
  slowModeSeconds: Type.Integer({ minimum: 0, description: 'How long a member waits between two messages' }),
  messageRetentionDays: Retention,
  ...CallLimits,
  position: Type.Integer({ minimum: 0 }),
  createdAt: Timestamp,
})
export type Channel = Static<typeof Channel>
export const ChannelPage = Page('ChannelPage', Channel)

export const ChannelPatch = Shape('ChannelPatch', {
  name: Type.Optional(ChannelName),
  topic: Type.Optional(Topic),
  slowModeSeconds: Type.Optional(SlowMode),
  messageRetentionDays: Type.Optional(Retention),
  ...PatchedCallLimits,
  parentId: Type.Optional(Nullable(Id)),
  position: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
})
export type ChannelPatch = Static<typeof ChannelPatch>

const ChannelPermissions = Type.Array(Enumeration(channelPermissions, { title: 'ChannelPermission' }), {
  maxItems: channelPermissions.length,
  uniqueItems: true,
})

/** What a channel allows and denies a role or a member, against what they have by their roles. */
export const ChannelOverride = Shape('ChannelOverride', {
  channelId: Id,
  targetKind: Enumeration(['role', 'member']),
  targetId: Id,
  allow: ChannelPermissions,
  deny: ChannelPermissions,
})
export type ChannelOverride = Static<typeof ChannelOverride>
export const ChannelOverridePage = Page('ChannelOverridePage', ChannelOverride)

/** Whether the target is a role or a member follows from its id. No permission may stand on both sides. */
export const NewChannelOverride = Shape('NewChannelOverride', { allow: ChannelPermissions, deny: ChannelPermissions })
export type NewChannelOverride = Static<typeof NewChannelOverride>

export const OverrideParams = Fields({ channelId: Id, targetId: Id })

export const NewChannel = Shape('NewChannel', {
  name: ChannelName,
  type: ChannelType,
  parentId: Type.Optional(Nullable(Id)),
  topic: Type.Optional(Topic),
  slowModeSeconds: Type.Optional(SlowMode),
  messageRetentionDays: Type.Optional(Retention),
  ...PatchedCallLimits,
  overrides: Type.Optional(
    Type.Array(Fields({ targetId: Id, ...NewChannelOverride.properties }), {
      maxItems: 20,
      description: 'In force from the first moment: a channel that begins with them is never open to all',
    }),
  ),
})
export type NewChannel = Static<typeof NewChannel>

export const Invite = Shape('Invite', {
  id: Id,
  code: Type.String(),
  creatorId: Id,
  roleId: Nullable(Id),
  maxUses: Nullable(Type.Integer()),
  uses: Type.Integer(),
  expiresAt: Nullable(Timestamp),
  createdAt: Timestamp,
})
export type Invite = Static<typeof Invite>
export const InvitePage = Page('InvitePage', Invite)

export const NewInvite = Shape('NewInvite', {
  maxUses: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 10_000 }))),
  expiresInSeconds: Type.Optional(Nullable(Type.Integer({ minimum: 60, maximum: 31_536_000 }))),
  roleId: Type.Optional(Nullable(Id)),
})
export type NewInvite = Static<typeof NewInvite>

/** What may be known of an invite by whoever holds its code. */
export const InvitePreview = Shape('InvitePreview', {
  serverName: Type.String(),
  expiresAt: Nullable(Timestamp),
})
export type InvitePreview = Static<typeof InvitePreview>

export const InviteCodeParams = Fields({ code: Type.String({ minLength: 1, maxLength: 512 }) })
