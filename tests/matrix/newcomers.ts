import { createHash, randomBytes } from 'node:crypto'
import { type Deployment, eventually } from '@conntext/testing'
import { authenticator, ORIGIN } from '@conntext/testing/authenticator'
import { Secret, TOTP } from 'otpauth'
import { type Account, type Caller, PASSWORD, type Person, personOf } from './caller.ts'
import { CLIENT_ID, type Claims, type Providers } from './provider.ts'

/** The address that the server is told to be reached at: passkeys and links go by it. */
export const PUBLIC_URL = ORIGIN

/** Where people come from, and where they may link their account to. */
export const HOME = 'home'
export const ELSEWHERE = 'elsewhere'

export type Newcomer = Person & { subject: string }

const STEP_MS = 30_000
// Wrong passwords slow down whoever gave them: nobody is asked so often that it comes to that.
const MOST_CONFIRMATIONS = 4

type Parts = { server: Deployment; caller: Caller; providers: Providers; owner: Person; inviteCode: string }

/**
 * People made as they are needed. They log in with a provider and have no password, which costs the server no hash; who
 * has no password proves with a login of just now that it is still them.
 */
export async function createNewcomers({ server, caller, providers, owner, inviteCode }: Parts) {
  const { attempt, call, name, register } = caller
  for (const id of [HOME, ELSEWHERE]) {
    const body = { name: id, issuer: providers.issuer(id), clientId: CLIENT_ID, clientSecret: 'a secret of the test' }
    await call('PUT', `/v1/auth/oidc/providers/${id}`, { token: owner.token, body })
  }

  /** Sets out for a provider, and answers what comes back with somebody from there. */
  const setOut = async (claims: Claims, query: Record<string, string> = {}) => {
    const search = new URLSearchParams({ inviteCode, ...query })
    const { headers } = await attempt('GET', `/v1/auth/oidc/${HOME}/start?${search}`)
    const cookie = headers.get('set-cookie')?.split(';')[0] ?? ''
    return { cookie, ...comeBack(headers.get('location') ?? '', claims) }
  }
  const comeBack = (url: string, claims: Claims) => {
    const { searchParams } = new URL(url)
    return {
      state: searchParams.get('state') ?? '',
      code: providers.code({ ...claims, nonce: searchParams.get('nonce') ?? '' }),
    }
  }
  const arrive = async <T>(claims: Claims): Promise<T> => {
    const { cookie, ...query } = await setOut(claims)
    return call<T>('GET', `/v1/auth/oidc/${HOME}/callback?${new URLSearchParams(query)}`, { headers: { cookie } })
  }

  const newcomer = async (said: Partial<Claims> = {}): Promise<Newcomer> => {
    const subject = name('somebody')
    return { ...personOf(await arrive<Account>({ sub: subject, ...said })), subject }
  }

  /** Whom the mail is for, as it is shown where there is no mail server; it may come in a moment. */
  const mailedToken = (to: string, subject: string): Promise<string> =>
    eventually(() => {
      const at = server.output().lastIndexOf(`mail to ${to}: ${subject}`)
      return at === -1 ? undefined : /#token=(\S+)\n/.exec(server.output().slice(at))?.[1]
    }, 30_000)

  let recovering: Promise<{ person: Newcomer; codes: string[] }> = Promise.resolve({
    person: { ...owner, subject: '' },
    codes: [],
  })
  const confirming: { person: Promise<Person>; left: number } = { person: Promise.resolve(owner), left: 0 }

  return {
    newcomer,
    setOut,
    /** Somebody from nowhere, whom the server hasn't seen. */
    claims: (): Claims => ({ sub: name('somebody') }),
    /** Logs in again. */
    again: async ({ subject }: Newcomer): Promise<Newcomer> => ({
      ...personOf(await arrive<Account>({ sub: subject })),
      subject,
    }),
    /** The first step of a login of somebody with a second factor. */
    firstStep: async ({ subject }: Newcomer) => (await arrive<{ mfaToken: string }>({ sub: subject })).mfaToken,

    /** Somebody with an email address that isn't proved. */
    async mailed(verified = false): Promise<{ person: Newcomer; email: string }> {
      const email = `${name('mail')}@example.org`
      return { email, person: await newcomer({ email, email_verified: verified }) }
    },
    mailedToken,

    /** Somebody who has a password, `PASSWORD`, and may be asked for it. */
    confirming(): Promise<Person> {
      confirming.left -= 1
      if (confirming.left < 0) {
        confirming.person = register(name('confirming'), { inviteCode })
        confirming.left = MOST_CONFIRMATIONS - 1
      }
      return confirming.person
    },

    /** An authenticator app that is about to be set up: the code that confirms it. */
    async enrolled() {
      const person = await newcomer()
      const { secret } = await call<{ secret: string }>('POST', '/v1/auth/totp/enrol', {
        token: person.token,
        body: {},
      })
      const totp = new TOTP({ secret: Secret.fromBase32(secret) })
      return { person, code: (later = 0) => totp.generate({ timestamp: Date.now() + later * STEP_MS }) }
    },
    /** Somebody with an authenticator app. The code of the step in which it was set up is used: the next one is good. */
    async withApp() {
      const { person, code } = await this.enrolled()
      const next = code(1)
      const body = { code: code() }
      const told = await call<{ recoveryCodes: string[] }>('POST', '/v1/auth/totp/confirm', {
        token: person.token,
        body,
      })
      return { person, code: next, recoveryCodes: told.recoveryCodes }
    },

    /** Somebody with a recovery code that is still good: they have several. */
    async withRecoveryCode(): Promise<{ person: Newcomer; recoveryCode: string }> {
      for (;;) {
        const { person, codes } = await recovering
        const recoveryCode = codes.pop()
        if (recoveryCode) return { person, recoveryCode }
        recovering = this.withApp().then(({ person, recoveryCodes }) => ({ person, codes: recoveryCodes }))
      }
    },

    /** A passkey that a browser has made, and that the server is to be told of. */
    async madePasskey() {
      const person = await newcomer()
      const device = authenticator()
      const path = '/v1/auth/passkeys/registration/options'
      const started = await call<{ ceremonyToken: string; options: Parameters<typeof device.create>[0] }>(
        'POST',
        path,
        { token: person.token, body: {} },
      )
      const { ceremonyToken, options } = started
      return { person, device, body: { ceremonyToken, name: 'laptop', response: device.create(options) } }
    },
    async withPasskey() {
      const { person, device, body } = await this.madePasskey()
      const { id } = await call('POST', '/v1/auth/passkeys', { token: person.token, body })
      return { person, device, passkeyId: id }
    },

    /** The code with which somebody links their account to another provider. */
    async linkCode(person: Person): Promise<{ code: string; codeVerifier: string }> {
      const codeVerifier = randomBytes(32).toString('base64url')
      const body = { codeChallenge: challengeOf(codeVerifier), password: PASSWORD }
      const { url } = await call<{ url: string }>('POST', `/v1/auth/oidc/${ELSEWHERE}/link`, {
        token: person.token,
        body,
      })
      const query = new URLSearchParams(comeBack(url, { sub: name('there') }))
      const { code } = await call<{ code: string }>('GET', `/v1/auth/oidc/${ELSEWHERE}/callback?${query}`)
      return { code, codeVerifier }
    },
    /** The code with which somebody logs in whose browser came back from the provider. */
    async loginCode(): Promise<{ code: string; codeVerifier: string }> {
      const codeVerifier = randomBytes(32).toString('base64url')
      const wanted = { returnTo: '/back', codeChallenge: challengeOf(codeVerifier) }
      const { cookie, ...query } = await setOut({ sub: name('somebody') }, wanted)
      const path = `/v1/auth/oidc/${HOME}/callback?${new URLSearchParams(query)}`
      const { headers } = await attempt('GET', path, { headers: { cookie } })
      return { code: new URLSearchParams(headers.get('location')?.split('#')[1]).get('code') ?? '', codeVerifier }
    },
  }
}
export type Newcomers = Awaited<ReturnType<typeof createNewcomers>>

const challengeOf = (verifier: string): string => createHash('sha256').update(verifier).digest('base64url')
