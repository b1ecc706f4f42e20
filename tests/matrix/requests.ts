import type { Operation } from './document.ts'
import { PASSWORD, type Person, type Scene } from './scene.ts'
import { type Ask, Raw } from './send.ts'

type Good = Partial<Ask> & { as?: Person }

/**
 * A request to each operation that takes more than a token, such that it succeeds. What it uses up is made for it, so
 * that each succeeds as often as it is asked for.
 */
const good: Record<string, (scene: Scene) => Good | Promise<Good>> = {
  login: ({ spare }) => ({ body: { login: spare.username, password: PASSWORD } }),
  register: ({ name, inviteCode }) => ({ body: { username: name('user'), password: PASSWORD, inviteCode } }),
  refresh: async ({ login, spare }) => ({ body: { refreshToken: (await login(spare)).refreshToken } }),
  logout: async ({ login, spare }) => ({ as: await login(spare) }),
  endSession: async ({ login, spare }) => ({ as: spare, path: { id: (await login(spare)).sessionId } }),
  getUser: ({ member }) => ({ path: { id: member.id } }),
  updateOwnUser: ({ spare }) => ({ as: spare, body: { displayName: 'Sara', email: 'sara@example.org' } }),
  getMember: ({ member }) => ({ path: { id: member.id } }),
  updateMember: ({ spare, roles }) => ({ path: { id: spare.id }, body: { roleIds: [roles.members.id] } }),
  createRole: ({ name }) => ({ body: { name: name('role'), colour: '#00ff00', permissions: ['message.pin'] } }),
  updateRole: async (scene) => {
    const { id } = await newRole(scene)
    return { path: { id }, body: { name: scene.name('role'), colour: null, permissions: [] } }
  },
  deleteRole: async (scene) => ({ path: { id: (await newRole(scene)).id } }),
  updateServer: () => ({
    body: { name: 'Matrix', description: 'A server', limits: { maxMediaPerMessage: 10, maxMessageLength: 4000 } },
  }),
  createChannel: ({ name }) => ({ body: { name: name('channel'), type: 'text', parentId: null, topic: 'Anything' } }),
  getChannel: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  updateChannel: ({ channels }) => ({
    path: { channelId: channels.voice.id },
    body: { name: 'voice', topic: null, parentId: null, position: 2 },
  }),
  deleteChannel: async (scene) => ({ path: { channelId: (await newChannel(scene)).id } }),
  listOverrides: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  setOverride: ({ channels, roles }) => ({
    path: { channelId: channels.voice.id, targetId: roles.members.id },
    body: { allow: ['voice.speak'], deny: ['voice.video'] },
  }),
  removeOverride: async (scene) => {
    const channelId = (await newChannel(scene)).id
    const targetId = scene.roles.members.id
    const body = { allow: [], deny: ['reaction.add'] }
    await scene.call('PUT', `/v1/channels/${channelId}/overrides/${targetId}`, { token: scene.owner.token, body })
    return { path: { channelId, targetId } }
  },
  createInvite: ({ roles }) => ({ body: { maxUses: 1, expiresInSeconds: 3600, roleId: roles.members.id } }),
  revokeInvite: async ({ call, owner }) => {
    const { id } = await call('POST', '/v1/invites', { token: owner.token, body: {} })
    return { path: { id } }
  },
  sendMessage: ({ channels, messages, name }) => ({
    path: { channelId: channels.general.id },
    body: { content: 'hello', nonce: name('nonce'), replyTo: messages.general.id, mediaIds: [] },
  }),
  listMessages: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  getMessage: ({ channels, messages }) => ({
    path: { channelId: channels.general.id, messageId: messages.general.id },
  }),
  editMessage: ({ channels, messages }) => ({
    path: { channelId: channels.general.id, messageId: messages.general.id },
    body: { content: 'hello again' },
  }),
  deleteMessage: async ({ call, channels, owner }) => {
    const channelId = channels.general.id
    const body = { content: 'not for long' }
    const { id } = await call('POST', `/v1/channels/${channelId}/messages`, { token: owner.token, body })
    return { path: { channelId, messageId: id } }
  },
  uploadMedia: () => ({
    query: { filename: 'a.txt' },
    body: new Raw('bytes'),
    headers: { 'content-type': 'application/octet-stream' },
  }),
  getMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  downloadMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  deleteMedia: async ({ upload, owner }) => ({ path: { mediaId: (await upload(owner.token)).id } }),
  getAuditEvent: ({ auditEvent }) => ({ path: { id: auditEvent.id } }),
}

const newRole = ({ call, name, owner }: Scene) =>
  call('POST', '/v1/roles', { token: owner.token, body: { name: name('role') } })

const newChannel = ({ call, name, owner }: Scene) =>
  call('POST', '/v1/channels', { token: owner.token, body: { name: name('channel'), type: 'text' } })

/** A request that succeeds; the owner's where it isn't about somebody's own things. */
export async function goodRequest(operation: Operation, scene: Scene): Promise<Ask> {
  const make = good[operation.id]
  if (!make && (operation.body || operation.parameters.some((one) => one.in === 'path'))) {
    throw new Error(`there is no good request for ${operation.id} yet: add one to requests.ts`)
  }
  const { as = scene.owner, ...rest } = (await make?.(scene)) ?? {}
  const token = operation.permission === 'public' ? undefined : as.token
  return { path: {}, query: {}, headers: {}, token, ...rest }
}
