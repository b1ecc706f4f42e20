import { PASSWORD, type Person, type Scene } from '../scene.ts'
import type { Case } from './case.ts'

/** Things of other people, asked for by somebody who may do as much with their own. */
export const othersThings: Record<string, (scene: Scene) => Case[]> = {
  getSession: ({ member, vera }) => [other("another's session", 404, member.token, { id: vera.sessionId })],
  endSession: ({ member, vera }) => [other("another's session", 404, member.token, { id: vera.sessionId })],
  revokeApiToken: ({ member, apiToken }) => [other("another's API token", 404, member.token, { id: apiToken.id })],
  createApiToken: ({ manager, member, bots }) => [
    other('for a bot of others', 403, member.token, {}, token(['channel.view'], { botId: bots.low.id })),
    other('for a bot above', 403, manager.token, {}, token(['channel.view'], { botId: bots.high.id })),
    other('a scope that one lacks', 403, manager.token, {}, token(['audit.view'])),
    other('a scope for everything', 403, manager.token, {}, token(['administrator'])),
  ],
  renamePasskey: ({ member, others }) => [other("another's passkey", 404, member.token, { id: others.passkeyId })],
  removePasskey: ({ member, others }) => [
    other("another's passkey", 404, member.token, { id: others.passkeyId }, { password: PASSWORD }),
  ],
  unlinkIdentity: ({ member, others }) => [
    other("another's identity", 404, member.token, { id: others.identityId }, { password: PASSWORD }),
  ],
  // Lists hold what is one's own, and what one may see.
  listSessions: ({ member, vera }) => lists(member, vera.sessionId),
  listApiTokens: ({ member, apiToken }) => lists(member, apiToken.id),
  listPasskeys: ({ member, others }) => lists(member, others.passkeyId),
  listIdentities: ({ member, others }) => lists(member, others.identityId),
  listInvites: ({ member, invite }) => lists(member, invite.id),
  listChannels: ({ member, channels }) => lists(member, channels.hidden.id),
  exportOwnUser: ({ member, vera }) => lists(member, vera.sessionId),
  // What was begun in one account is completed in no other.
  addPasskey: ({ member }) => [elses("another's ceremony", 410, member.token)],
  linkIdentity: ({ member }) => [elses("another's code", 401, member.token)],
  updateOwnUser: ({ member, media }) => [
    other("another's file", 404, member.token, {}, { avatarId: media.kept.id }),
    other("another's file that one may see", 404, member.token, {}, { avatarId: media.attached.id }),
  ],
  updateServer: ({ manager, media }) => [other("another's file", 404, manager.token, {}, { iconId: media.members.id })],
  transferOwnership: ({ head, manager, member }) => [
    other("another's server", 403, head.token, { id: member.id }, { password: PASSWORD }),
    other("another's server, to oneself", 403, manager.token, { id: manager.id }, { password: PASSWORD }),
  ],
  kickMember: moderating(),
  timeOutMember: moderating({ expiresInSeconds: 60 }),
  liftTimeout: moderating(),
  createBan: ({ manager, head, owner, bots }) =>
    [manager, head, owner, bots.high].map(({ id }) =>
      other(`of ${id}, who is not below`, 403, manager.token, {}, { userId: id }),
    ),
  giveRole: ({ manager, roles }) => [
    other('a role above, to oneself', 403, manager.token, { id: manager.id, roleId: roles.chief.id }),
    other('one’s own highest role', 403, manager.token, { id: manager.id, roleId: roles.managers.id }),
  ],
  takeRole: ({ manager, bots, roles }) => [
    other('a role above', 403, manager.token, { id: bots.high.id, roleId: roles.chief.id }),
  ],
  updateBot: ({ manager, bots }) => [
    other('a bot above', 403, manager.token, { id: bots.high.id }, { displayName: 'x' }),
  ],
  deleteBot: ({ manager, bots }) => [other('a bot above', 403, manager.token, { id: bots.high.id })],
  revokeInvite: ({ member, invite }) => [other("another's invite", 404, member.token, { id: invite.id })],
  getMedia: ({ member, media }) => [other("another's file", 404, member.token, { mediaId: media.kept.id })],
  downloadMedia: ({ member, media }) => [other("another's file", 404, member.token, { mediaId: media.kept.id })],
  deleteMedia: ({ member, media }) => [
    other("another's file", 404, member.token, { mediaId: media.kept.id }),
    other("another's file that one may see", 403, member.token, { mediaId: media.attached.id }),
  ],
  editMessage: (scene) => [other("another's message", 403, scene.member.token, messagePath(scene))],
  deleteMessage: (scene) => [other("another's message", 403, scene.member.token, messagePath(scene))],
  // Conversations are for those who take part in them, whoever owns the server.
  ...Object.fromEntries(
    ['getConversation', 'renameConversation', 'closeConversation', 'addParticipant', 'removeParticipant'].map((id) => [
      id,
      ({ head, owner, conversations, vera }: Scene) => [
        other("a group of others'", 404, head.token, { channelId: conversations.group.id, userId: vera.id }),
        other("another's", 404, owner.token, { channelId: conversations.others.id, userId: vera.id }),
      ],
    ]),
  ),
  listMessages: ({ owner, conversations }) => [
    other("a group of others'", 404, owner.token, { channelId: conversations.others.id }),
  ],
  sendMessage: ({ owner, conversations }) => [
    other("in a group of others'", 404, owner.token, { channelId: conversations.others.id }),
  ],
  listConversations: ({ owner, conversations }) => lists(owner, conversations.others.id),
  getUnread: ({ owner, conversations }) => lists(owner, conversations.others.id),
  searchMessages: ({ owner, member, conversations, messages }) => [
    finds(owner, 'private', conversations.others.id),
    finds(member, 'secret', messages.hidden.id),
  ],
  listLibrary: ({ member, media }) => lists(member, media.kept.id),
  getUpload: ({ member, media }) => [other("another's upload", 404, member.token, { uploadId: media.begun })],
  updateRole: ({ manager, roles }) => [
    other('a role above', 403, manager.token, { id: roles.chief.id }, { name: 'Mine' }),
    other('one’s own role', 403, manager.token, { id: roles.managers.id }, { name: 'Mine' }),
    other('a permission that one lacks', 403, manager.token, { id: roles.members.id }, { permissions: ['audit.view'] }),
  ],
  deleteRole: ({ manager, roles }) => [other('a role above', 403, manager.token, { id: roles.chief.id })],
  createRole: ({ manager, name }) => [
    other('a permission that one lacks', 403, manager.token, {}, { name: name('r'), permissions: ['administrator'] }),
  ],
  updateMember: ({ manager, owner, roles }) => [
    other('a role above, for oneself', 403, manager.token, { id: manager.id }, { roleIds: [roles.chief.id] }),
    other('a nickname of somebody above', 403, manager.token, { id: owner.id }, { nickname: 'low' }),
  ],
  createInvite: ({ manager, roles }) => [other('a role above', 403, manager.token, {}, { roleId: roles.chief.id })],
  setOverride: ({ manager, channels, roles }) => [
    other('a permission that one lacks', 403, manager.token, path(channels.general.id, roles.members.id), {
      allow: ['voice.moderate'],
      deny: [],
    }),
  ],
}

/** Moderators reach nobody who stands as high as they do, or higher: themselves, heads, the owner. */
function moderating(body?: object) {
  return ({ manager, head, owner, bots }: Scene): Case[] =>
    [manager, head, owner, bots.high].map(({ id }) =>
      other(`of ${id}, who is not below`, 403, manager.token, { id }, body),
    )
}

const token = (scopes: string[], more: object = {}) => ({ name: 'a token', scopes, password: PASSWORD, ...more })
const path = (channelId: string, targetId: string) => ({ channelId, targetId })
const messagePath = ({ channels, messages }: Scene) => ({
  channelId: channels.general.id,
  messageId: messages.general.id,
})

function other(name: string, expect: number, token: string, path: Record<string, string>, body?: object): Case {
  return { name, expect, change: () => ({ token, path, ...(body ? { body } : {}) }) }
}

/** The same request in another's name. */
function elses(name: string, expect: number, token: string): Case {
  return { name, expect, fresh: true, change: () => ({ token }) }
}

/** What somebody finds, without a thing of others that has the word in it. */
const finds = ({ token }: Person, q: string, id: string): Case => ({
  name: `${q}, without ${id}, which is another's`,
  expect: 'success',
  change: () => ({ token, query: { q } }),
  also: ({ text }) => (text.includes(id) ? [`finds ${id}`] : []),
})

/** What somebody is shown, without a thing of others. */
const lists = ({ token }: Person, id: string): Case[] => [
  {
    name: `without ${id}, which is another's`,
    expect: 'success',
    change: () => ({ token }),
    also: ({ text }) => (text.includes(id) ? [`shows ${id}`] : []),
  },
]
