/**
 * Every permission there is. `scope` says where it can be granted: `server` ones only by a role, `channel` ones also
 * allowed or denied by a channel's overrides. `everyone` marks what @everyone has on a new server.
 */
export const permissions = {
  administrator: { scope: 'server', title: 'Everything, overrides included', everyone: false },
  'server.manage': { scope: 'server', title: 'Change the server settings', everyone: false },
  'role.manage': { scope: 'server', title: 'Create, change, delete and give roles', everyone: false },
  'channel.manage': { scope: 'channel', title: 'Create, change and delete channels', everyone: false },
  'member.kick': { scope: 'server', title: 'Remove members', everyone: false },
  'member.ban': { scope: 'server', title: 'Ban members and lift bans', everyone: false },
  'member.timeout': { scope: 'server', title: 'Silence members for a time', everyone: false },
  'member.nickname': { scope: 'server', title: "Change other members' nicknames", everyone: false },
  'invite.create': { scope: 'server', title: 'Invite people', everyone: false },
  'invite.manage': { scope: 'server', title: 'See and revoke all invites', everyone: false },
  'bot.manage': { scope: 'server', title: 'Create, change and delete bots', everyone: false },
  'webhook.manage': { scope: 'channel', title: 'Create, change and delete webhooks', everyone: false },
  'audit.view': { scope: 'server', title: 'Read the audit trail', everyone: false },
  'system.view': { scope: 'server', title: 'See health, status and metrics', everyone: false },
  'system.manage': { scope: 'server', title: 'Back up, restore and set retention', everyone: false },
  'channel.view': { scope: 'channel', title: 'See a channel', everyone: true },
  'message.history': { scope: 'channel', title: 'Read earlier messages', everyone: true },
  'message.send': { scope: 'channel', title: 'Send messages', everyone: true },
  'message.manage': { scope: 'channel', title: "Delete others' messages", everyone: false },
  'message.pin': { scope: 'channel', title: 'Pin messages', everyone: false },
  'message.mentionEveryone': { scope: 'channel', title: 'Mention everyone', everyone: false },
  'reaction.add': { scope: 'channel', title: 'React to messages', everyone: true },
  'media.attach': { scope: 'channel', title: 'Attach files', everyone: true },
  'voice.connect': { scope: 'channel', title: 'Join calls', everyone: true },
  'voice.speak': { scope: 'channel', title: 'Speak in calls', everyone: true },
  'voice.video': { scope: 'channel', title: 'Show video in calls', everyone: true },
  'voice.share': { scope: 'channel', title: 'Share the screen in calls', everyone: true },
  'voice.moderate': { scope: 'channel', title: 'Mute and deafen others in calls', everyone: false },
  'voice.move': { scope: 'channel', title: 'Move and disconnect others in calls', everyone: false },
} as const satisfies Record<string, { scope: 'server' | 'channel'; title: string; everyone: boolean }>

export type Permission = keyof typeof permissions

export const permissionNames = Object.keys(permissions) as Permission[]

export const isPermission = (name: string): name is Permission => Object.hasOwn(permissions, name)

export const everyoneDefaults: Permission[] = permissionNames.filter((name) => permissions[name].everyone)

/** What everybody may do in a conversation that they take part in, whatever their roles say; nobody else anything. */
export const participantPermissions: readonly Permission[] = [
  'channel.view',
  'message.history',
  'message.send',
  'message.pin',
  'reaction.add',
  'media.attach',
  'voice.connect',
  'voice.speak',
  'voice.video',
  'voice.share',
]

/** What a channel's overrides can allow or deny. */
export const channelPermissions: Permission[] = permissionNames.filter((name) => permissions[name].scope === 'channel')
