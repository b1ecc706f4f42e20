import { HOME } from '../newcomers.ts'
import { PASSWORD } from '../scene.ts'
import type { GoodRequests } from './good.ts'

const A_CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'

/** Ways in and out. */
export const loginRequests: GoodRequests = {
  login: ({ spare }) => ({ body: { login: spare.username, password: PASSWORD } }),
  register: ({ name, inviteCode }) => ({ body: { username: name('user'), password: PASSWORD, inviteCode } }),
  refresh: async ({ newcomers }) => ({ body: { refreshToken: (await newcomers.newcomer()).refreshToken } }),
  logout: async ({ newcomers }) => ({ as: await newcomers.newcomer() }),
  endOtherSessions: async ({ newcomers }) => ({ as: await newcomers.newcomer() }),
  getSession: ({ member }) => ({ as: member, path: { id: member.sessionId } }),
  endSession: async ({ newcomers, others }) => ({
    as: others.frequent,
    path: { id: (await newcomers.again(others.frequent)).sessionId },
  }),
  loginWithTotp: async ({ newcomers }) => {
    const { person, code } = await newcomers.withApp()
    return { body: { mfaToken: await newcomers.firstStep(person), code } }
  },
  loginWithRecoveryCode: async ({ newcomers }) => {
    const { person, recoveryCode } = await newcomers.withRecoveryCode()
    return { body: { mfaToken: await newcomers.firstStep(person), code: recoveryCode } }
  },
  startPasskeyLogin: async ({ newcomers, others }) => ({
    body: { mfaToken: await newcomers.firstStep(others.keyholder) },
  }),
  loginWithPasskey: async ({ call, others }) => {
    type Started = { ceremonyToken: string; options: Parameters<typeof others.device.get>[0] }
    const { ceremonyToken, options } = await call<Started>('POST', '/v1/auth/passkeys/login/options', { body: {} })
    return { body: { ceremonyToken, response: others.device.get(options) } }
  },
  startOidcLogin: ({ inviteCode }) => ({
    path: { provider: HOME },
    query: { codeChallenge: A_CHALLENGE, inviteCode },
  }),
  completeOidcLogin: async ({ newcomers }) => {
    const { cookie, state, code } = await newcomers.setOut(newcomers.claims())
    return { path: { provider: HOME }, query: { state, code }, headers: { cookie } }
  },
  exchangeOidcCode: async ({ newcomers }) => ({ body: await newcomers.loginCode() }),
  requestPasswordReset: async ({ newcomers }) => ({ body: { login: (await newcomers.mailed()).email } }),
  resetPassword: async ({ call, newcomers }) => {
    const { email } = await newcomers.mailed(true)
    await call('POST', '/v1/auth/password/request-reset', { body: { login: email } })
    return { body: { token: await newcomers.mailedToken(email, 'Set a new password'), newPassword: PASSWORD } }
  },
  verifyEmail: async ({ newcomers }) => {
    const { email } = await newcomers.mailed()
    return { body: { token: await newcomers.mailedToken(email, 'Verify your email address') } }
  },
}
