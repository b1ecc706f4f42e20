import { PASSWORD, type Scene } from '../scene.ts'
import type { GoodRequests } from './good.ts'

const asOwner = ({ owner }: Scene) => ({ token: owner.token })

/** Other people: members, their roles, bots, and what moderators do. */
export const memberRequests: GoodRequests = {
  getUser: ({ member }) => ({ path: { id: member.id } }),
  listPresences: ({ owner, member }) => ({ query: { userIds: `${owner.id},${member.id}`, limit: '1' } }),
  getMember: ({ member }) => ({ path: { id: member.id } }),
  updateMember: ({ spare, roles }) => ({
    path: { id: spare.id },
    body: { nickname: 'Sari', roleIds: [roles.members.id] },
  }),
  kickMember: async ({ newBot }) => ({ path: { id: (await newBot()).id } }),
  timeOutMember: ({ bots }) => ({ path: { id: bots.low.id }, body: { expiresInSeconds: 3600 } }),
  liftTimeout: async (scene) => {
    const { id } = scene.bots.low
    await scene.call('POST', `/v1/members/${id}/timeout`, { ...asOwner(scene), body: { expiresInSeconds: 3600 } })
    return { path: { id } }
  },
  createBan: async ({ newBot }) => ({
    body: { userId: (await newBot()).id, expiresInSeconds: 3600, deleteMessagesSeconds: 3600 },
  }),
  getBan: ({ bots }) => ({ path: { userId: bots.banned.id } }),
  liftBan: async (scene) => {
    const { id } = await scene.newBot()
    await scene.call('POST', '/v1/bans', { ...asOwner(scene), body: { userId: id } })
    return { path: { userId: id } }
  },
  giveRole: async ({ newBot, roles }) => ({ path: { id: (await newBot()).id, roleId: roles.members.id } }),
  takeRole: async (scene) => {
    const { id } = await scene.newBot()
    const roleId = scene.roles.members.id
    await scene.call('PUT', `/v1/members/${id}/roles/${roleId}`, asOwner(scene))
    return { path: { id, roleId } }
  },
  /** Each time to somebody else: whoever it was handed to last hands it on. */
  async transferOwnership({ call, newcomers, reign }) {
    const { heir } = reign
    const token = heir?.token
    if (heir && token && (await call<{ isOwner: boolean }>('GET', '/v1/users/@me', { token })).isOwner) {
      reign.owner = heir
    }
    reign.heir = await newcomers.newcomer()
    return { as: reign.owner, path: { id: reign.heir.id }, body: { password: PASSWORD } }
  },
  createBot: ({ name }) => ({ body: { username: name('bot'), displayName: 'A bot' } }),
  updateBot: ({ bots, name }) => ({
    path: { id: bots.low.id },
    body: { username: name('bot'), displayName: 'A bot' },
  }),
  deleteBot: async ({ newBot }) => ({ path: { id: (await newBot()).id } }),
}
