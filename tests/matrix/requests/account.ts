import { ELSEWHERE } from '../newcomers.ts'
import { PASSWORD } from '../scene.ts'
import type { GoodRequests } from './good.ts'

const password = PASSWORD

/** What somebody does with their own account. */
export const accountRequests: GoodRequests = {
  updateOwnUser: async ({ newcomers, name }) => ({
    as: await newcomers.newcomer(),
    body: {
      displayName: 'Sara',
      email: `${name('sara')}@example.org`,
      avatarId: null,
      status: { text: 'here', emoji: '🦄', expiresInSeconds: 3600 },
      password,
    },
  }),
  deleteOwnUser: async ({ newcomers }) => ({
    as: await newcomers.newcomer(),
    body: { messages: 'delete', password },
  }),
  changePassword: async ({ register, name, inviteCode }) => ({
    as: await register(name('changing'), { inviteCode }),
    body: { newPassword: PASSWORD, currentPassword: PASSWORD },
  }),
  requestEmailVerification: async ({ newcomers }) => ({ as: (await newcomers.mailed()).person }),
  joinAgain: async ({ call, newcomers, inviteCode }) => {
    const as = await newcomers.newcomer()
    await call('DELETE', '/v1/members/@me', { token: as.token })
    return { as, body: { inviteCode } }
  },
  redeemInvite: async ({ call, newcomers, inviteCode }) => {
    const as = await newcomers.newcomer()
    await call('DELETE', '/v1/members/@me', { token: as.token })
    return { as, path: { code: inviteCode } }
  },
  leaveServer: async ({ newcomers }) => ({ as: await newcomers.newcomer() }),

  enrolTotp: async ({ newcomers }) => ({ as: await newcomers.confirming(), body: { password } }),
  confirmTotp: async ({ newcomers }) => {
    const { person, code } = await newcomers.enrolled()
    return { as: person, body: { code: code() } }
  },
  disableTotp: async ({ newcomers }) => {
    const { person, code } = await newcomers.withApp()
    return { as: person, body: { code } }
  },
  renewRecoveryCodes: async ({ newcomers }) => {
    const { person, recoveryCodes } = await newcomers.withApp()
    return { as: person, body: { code: recoveryCodes[0]! } }
  },
  startPasskeyRegistration: async ({ newcomers }) => ({ as: await newcomers.confirming(), body: { password } }),
  addPasskey: async ({ newcomers }) => {
    const { person, body } = await newcomers.madePasskey()
    return { as: person, body }
  },
  renamePasskey: ({ others }) => ({ as: others.keyholder, path: { id: others.passkeyId }, body: { name: 'laptop' } }),
  removePasskey: async ({ newcomers }) => {
    const { person, passkeyId } = await newcomers.withPasskey()
    return { as: person, path: { id: passkeyId }, body: { password } }
  },

  startOidcLink: async ({ newcomers }) => ({
    as: await newcomers.confirming(),
    path: { provider: ELSEWHERE },
    body: { returnTo: '/back', password },
  }),
  linkIdentity: async ({ newcomers }) => {
    const as = await newcomers.newcomer()
    return { as, body: await newcomers.linkCode(as) }
  },
  unlinkIdentity: async ({ call, newcomers }) => {
    const as = await newcomers.newcomer()
    const { token } = as
    const { id } = await call('POST', '/v1/auth/identities', { token, body: await newcomers.linkCode(as) })
    return { as, path: { id }, body: { password } }
  },

  createApiToken: async ({ newcomers }) => ({
    as: await newcomers.confirming(),
    body: { name: 'a token', scopes: ['channel.view'], expiresInSeconds: 3600, password },
  }),
  revokeApiToken: async ({ call, newcomers }) => {
    const as = await newcomers.newcomer()
    const body = { name: 'a token', scopes: ['channel.view'] }
    const { id } = await call('POST', '/v1/auth/tokens', { token: as.token, body })
    return { as, path: { id } }
  },
}
