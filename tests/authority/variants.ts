import type { Good } from '../matrix/requests/good.ts'
import { THUMBS_UP } from '../matrix/requests/messaging.ts'
import { PASSWORD, type Scene } from '../matrix/scene.ts'

/** Who asks, as far as it makes a difference; the owner, where it is nobody. */
type Self = { id: string }

/** A bot that stands as high as one gets without owning the server. */
async function highBot({ call, newBot, owner, roles }: Scene): Promise<string> {
  const { id } = await newBot()
  await call('PUT', `/v1/members/${id}/roles/${roles.chief.id}`, { token: owner.token })
  return id
}

const token = (scopes: string[], more: object = {}) => ({ body: { name: 'x', scopes, password: PASSWORD, ...more } })

/**
 * Requests to operations whose answer depends on more than the permission: `operationId#what`. Each may be made by
 * whoever stands high enough, and has enough; the table says who that is.
 */
export const variants: Record<string, (scene: Scene, self: Self) => Good | Promise<Good>> = {
  'kickMember#above': async (scene) => ({ path: { id: await highBot(scene) } }),
  'kickMember#owner': ({ owner }) => ({ path: { id: owner.id } }),
  'createBan#above': async (scene) => ({ body: { userId: await highBot(scene) } }),
  'createBan#owner': ({ owner }) => ({ body: { userId: owner.id } }),
  'timeOutMember#above': async (scene) => ({ path: { id: await highBot(scene) }, body: { expiresInSeconds: 60 } }),
  'timeOutMember#owner': ({ owner }) => ({ path: { id: owner.id }, body: { expiresInSeconds: 60 } }),
  'updateMember#ownNickname': (_, self) => ({ path: { id: self.id }, body: { nickname: 'Nick' } }),
  'updateMember#nickname': async ({ newBot }) => ({ path: { id: (await newBot()).id }, body: { nickname: 'Nick' } }),
  'updateMember#nicknameAbove': async (scene) => ({ path: { id: await highBot(scene) }, body: { nickname: 'Nick' } }),
  'updateMember#roleAbove': async ({ newBot, roles }) => ({
    path: { id: (await newBot()).id },
    body: { roleIds: [roles.chief.id] },
  }),
  'giveRole#above': async ({ newBot, roles }) => ({ path: { id: (await newBot()).id, roleId: roles.chief.id } }),
  'giveRole#toOneself': ({ roles }, self) => ({ path: { id: self.id, roleId: roles.managers.id } }),
  'takeRole#above': async (scene) => ({ path: { id: await highBot(scene), roleId: scene.roles.chief.id } }),
  'updateRole#own': ({ roles }) => ({ path: { id: roles.chief.id }, body: { colour: '#ff0000' } }),
  'updateRole#everyone': ({ roles }) => ({ path: { id: roles.everyone.id }, body: { permissions: ['channel.view'] } }),
  'setOverride#held': ({ channels, roles }) => ({
    path: { channelId: channels.general.id, targetId: roles.members.id },
    body: { allow: ['message.send'], deny: [] },
  }),
  'setOverride#above': async (scene) => ({
    path: { channelId: scene.channels.general.id, targetId: await highBot(scene) },
    body: { allow: [], deny: ['message.send'] },
  }),
  'setOverride#oneself': ({ channels }, self) => ({
    path: { channelId: channels.general.id, targetId: self.id },
    body: { allow: ['message.send'], deny: [] },
  }),
  'createInvite#plain': () => ({ body: {} }),
  'createInvite#roleAbove': ({ roles }) => ({ body: { roleId: roles.chief.id } }),
  'createApiToken#scopeBeyond': () => token(['audit.view']),
  'createApiToken#everything': () => token(['administrator']),
  'createApiToken#bot': ({ bots }) => token(['channel.view'], { botId: bots.low.id }),
  'createApiToken#botAbove': async (scene) => token(['channel.view'], { botId: await highBot(scene) }),
  'revokeApiToken#bot': async ({ newBot, newToken }) => {
    const body = { name: 'x', scopes: ['channel.view'], botId: (await newBot()).id }
    return { path: { id: (await newToken(body)).id } }
  },
  'updateBot#above': async (scene) => ({ path: { id: await highBot(scene) }, body: { displayName: 'x' } }),
  'deleteBot#above': async (scene) => ({ path: { id: await highBot(scene) } }),
  'getChannel#hidden': ({ channels }) => ({ path: { channelId: channels.hidden.id } }),
  'getCall#hidden': ({ channels }) => ({ path: { channelId: channels.hidden.id } }),
  'listCalls#hidden': ({ channels }) => ({ query: { channelId: channels.hidden.id } }),
  'listCalls#others': ({ conversations }) => ({ query: { channelId: conversations.others.id } }),
  'listMessages#hidden': ({ channels }) => ({ path: { channelId: channels.hidden.id } }),
  'getConversation#others': ({ conversations }) => ({ path: { channelId: conversations.others.id } }),
  'listMessages#others': ({ conversations }) => ({ path: { channelId: conversations.others.id } }),
  'sendMessage#others': ({ conversations }) => ({
    path: { channelId: conversations.others.id },
    body: { content: 'let me in' },
  }),
  'deleteMessage#others': ({ conversations }) => ({
    path: { channelId: conversations.others.id, messageId: conversations.message.id },
  }),
  'addParticipant#oneself': ({ conversations }, self) => ({
    path: { channelId: conversations.others.id, userId: self.id },
  }),
  'removeParticipant#others': ({ conversations, vera }) => ({
    path: { channelId: conversations.others.id, userId: vera.id },
  }),
  'openConversation#group': ({ member, vera }) => ({ body: { userIds: [member.id, vera.id], name: 'Plans' } }),
  'removeReaction#oneself': ({ channels, messages }, self) => ({
    path: { channelId: channels.general.id, messageId: messages.general.id, emoji: THUMBS_UP, userId: self.id },
  }),
  'createWebhook#hidden': ({ channels }) => ({ body: { channelId: channels.hidden.id, name: 'Builds' } }),
  'listWebhooks#hidden': ({ channels }) => ({ query: { channelId: channels.hidden.id } }),
  'getWebhook#hidden': ({ webhook }) => ({ path: { webhookId: webhook.id } }),
  'updateWebhook#hidden': ({ webhook }) => ({ path: { webhookId: webhook.id }, body: { name: 'Builds' } }),
  'blockUser#oneself': (_, self) => ({ path: { userId: self.id } }),
  'listLibrary#hidden': ({ channels }) => ({ query: { channelId: channels.hidden.id } }),
  'listLibrary#others': ({ conversations }) => ({ query: { channelId: conversations.others.id } }),
  'getEffectivePermissions#ofOwner': ({ owner }) => ({ query: { userId: owner.id } }),
  'getEffectivePermissions#hidden': ({ channels }) => ({ query: { channelId: channels.hidden.id } }),
}
