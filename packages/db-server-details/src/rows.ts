import { type Channel, isPermission, type Override, type ServerInfo } from '@conntext/contracts'
import type { channelOverrides, channels, serverSettings } from './system.ts'

// What both services of this database make of its rows: auth for the permission snapshot, system for its answers.

export type SettingsRow = typeof serverSettings.$inferSelect
export type ChannelRow = typeof channels.$inferSelect
export type OverrideRow = typeof channelOverrides.$inferSelect

/** The id of the settings' one row. */
export const SETTINGS_ID = 1

/** What a new server begins with. By invitation only: nobody is let in that wasn't meant to be. */
export const newServerSettings = {
  name: 'ConnText',
  description: null,
  iconId: null,
  registrationMode: 'invite',
  requireMfa: false,
  requireModerationReason: false,
  systemChannelId: null,
  messageRetentionDays: null,
  callRetentionDays: null,
  maintenanceSince: null,
  maintenanceMessage: null,
  maintenanceUntil: null,
  logLevel: null,
  logRetentionDays: 14,
  maxMessageLength: 4_000,
  maxFileBytes: 524_288_000,
  maxMediaPerMessage: 10,
} as const

type ShownSettings = Omit<SettingsRow, 'id' | 'version' | 'maintenanceBy' | 'logLevel' | 'logRetentionDays'>

export const toServerInfo = (row: ShownSettings): ServerInfo => ({
  name: row.name,
  description: row.description,
  iconId: row.iconId,
  registrationMode: row.registrationMode,
  requireMfa: row.requireMfa,
  requireModerationReason: row.requireModerationReason,
  systemChannelId: row.systemChannelId,
  messageRetentionDays: row.messageRetentionDays,
  callRetentionDays: row.callRetentionDays,
  limits: {
    maxMessageLength: row.maxMessageLength,
    maxFileBytes: row.maxFileBytes,
    maxMediaPerMessage: row.maxMediaPerMessage,
  },
  maintenance: row.maintenanceSince && {
    message: row.maintenanceMessage,
    since: row.maintenanceSince.toISOString(),
    until: row.maintenanceUntil?.toISOString() ?? null,
  },
  createdAt: row.createdAt.toISOString(),
})

export const toChannel = (row: Omit<ChannelRow, 'nameKey'>): Channel => ({
  id: row.id,
  name: row.name,
  type: row.type,
  parentId: row.parentId,
  topic: row.topic,
  slowModeSeconds: row.slowModeSeconds,
  messageRetentionDays: row.messageRetentionDays,
  userLimit: row.userLimit,
  audioBitrate: row.audioBitrate,
  videoLimit: row.videoLimit,
  position: row.position,
  createdAt: row.createdAt.toISOString(),
})

/** Without permissions that no longer exist. */
export const toOverride = (row: OverrideRow): Override => ({
  channelId: row.channelId,
  targetKind: row.targetKind,
  targetId: row.targetId,
  allow: row.allow.filter(isPermission),
  deny: row.deny.filter(isPermission),
})

/** What makes the name of a role or a channel unique: without regard to case and to how its letters are encoded. */
export const nameKey = (name: string): string => name.normalize('NFKC').toLowerCase()
