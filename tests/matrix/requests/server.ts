import type { Scene } from '../scene.ts'
import type { GoodRequests } from './good.ts'

const newRole = ({ call, name, owner }: Scene) =>
  call('POST', '/v1/roles', { token: owner.token, body: { name: name('role') } })

const newChannel = ({ call, name, owner }: Scene) =>
  call('POST', '/v1/channels', { token: owner.token, body: { name: name('channel'), type: 'text' } })

const PROVIDER = {
  name: 'A provider',
  issuer: 'https://login.example.org',
  clientId: 'conntext',
  clientSecret: 'a secret',
  scopes: ['openid'],
  enabled: false,
}

let retention = 14
/** Another one each time, so that it changes something. */
const nextRetention = () => (retention = (retention % 366) + 1)

/** The server: its settings, roles, channels, invites, and its audit trail. */
export const serverRequests: GoodRequests = {
  updateServer: () => ({
    body: {
      name: 'Matrix',
      description: 'A server',
      systemChannelId: null,
      messageRetentionDays: null,
      limits: { maxMediaPerMessage: 10, maxMessageLength: 4000 },
    },
  }),
  setOidcProvider: () => ({ path: { provider: 'matrix' }, body: PROVIDER }),
  removeOidcProvider: async ({ call, owner, name }) => {
    const provider = name('provider')
    await call('PUT', `/v1/auth/oidc/providers/${provider}`, { token: owner.token, body: PROVIDER })
    return { path: { provider } }
  },
  createRole: ({ name }) => ({ body: { name: name('role'), colour: '#00ff00', permissions: ['message.pin'] } }),
  getRole: ({ roles }) => ({ path: { id: roles.members.id } }),
  updateRole: async (scene) => {
    const { id } = await newRole(scene)
    return { path: { id }, body: { name: scene.name('role'), colour: null, permissions: [] } }
  },
  deleteRole: async (scene) => ({ path: { id: (await newRole(scene)).id } }),
  createChannel: ({ name }) => ({
    body: { name: name('channel'), type: 'text', parentId: null, topic: 'Anything', messageRetentionDays: 30 },
  }),
  getChannel: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  updateChannel: ({ channels }) => ({
    path: { channelId: channels.voice.id },
    body: { name: 'voice', topic: null, parentId: null, position: 2, messageRetentionDays: null, userLimit: null },
  }),
  deleteChannel: async (scene) => ({ path: { channelId: (await newChannel(scene)).id } }),
  listOverrides: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  getOverride: async (scene) => ({ path: await newOverride(scene) }),
  setOverride: ({ channels, roles }) => ({
    path: { channelId: channels.voice.id, targetId: roles.members.id },
    body: { allow: ['voice.speak'], deny: ['voice.video'] },
  }),
  removeOverride: async (scene) => ({ path: await newOverride(scene) }),
  createInvite: ({ roles }) => ({ body: { maxUses: 1, expiresInSeconds: 3600, roleId: roles.members.id } }),
  previewInvite: ({ inviteCode }) => ({ path: { code: inviteCode } }),
  revokeInvite: async ({ call, owner }) => {
    const { id } = await call('POST', '/v1/invites', { token: owner.token, body: {} })
    return { path: { id } }
  },
  getAuditEvent: ({ auditEvent }) => ({ path: { id: auditEvent.id } }),
  getAuditConsistency: () => ({ query: { first: '1' } }),
  getAuditProof: ({ auditEvent }) => ({ path: { id: auditEvent.id } }),
  verifyAudit: () => ({ body: { fromBatch: 1, toBatch: 1 } }),
  getAuditVerification: async (scene) => ({ path: { id: (await verificationOf(scene)).id } }),
  exportAudit: () => ({ query: { format: 'ndjson', action: 'channel.*' } }),
  queryAudit: () => ({ body: { sql: 'SELECT action, count() FROM audit_events GROUP BY action', limit: 10 } }),
  // Under maintenance whatever comes next would be refused.
  setMaintenance: () => ({ body: { enabled: false } }),
  updateLogSettings: () => ({ body: { retentionDays: nextRetention() } }),
  restoreServerSettings: async ({ call, name, owner }) => {
    await call('PATCH', '/v1/server', { token: owner.token, body: { description: name('description') } })
    const path = '/v1/server/history?limit=1'
    const { items } = await call<{ items: [{ id: string }] }>('GET', path, { token: owner.token })
    return { path: { id: items[0].id } }
  },
  setAuditRetention: () => ({
    body: { security: 90, administration: null, moderation: null, accounts: 365, reads: 30, activity: null },
  }),
}

const verifications = new WeakMap<Scene, Promise<{ id: string }>>()

// One for each server: few may be under way at once.
function verificationOf(scene: Scene): Promise<{ id: string }> {
  const { call, owner } = scene
  const known = verifications.get(scene)
  const asked = known ?? call('POST', '/v1/audit/verify', { token: owner.token, body: { fromBatch: 1, toBatch: 1 } })
  verifications.set(scene, asked)
  return asked
}

async function newOverride(scene: Scene) {
  const channelId = (await newChannel(scene)).id
  const targetId = scene.roles.members.id
  const body = { allow: [], deny: ['reaction.add'] }
  await scene.call('PUT', `/v1/channels/${channelId}/overrides/${targetId}`, { token: scene.owner.token, body })
  return { channelId, targetId }
}
