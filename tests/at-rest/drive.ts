import { SETUP_CODE } from '@conntext/testing'
import { Secret, TOTP } from 'otpauth'

/** Whatever must not be found, by a name to tell it by. */
export type Secrets = Map<string, string>

type Answer = { accessToken: string; refreshToken: string; user: { id: string } }

/** A client of a server that remembers every secret which it sends or is answered. */
export class Driver {
  readonly secrets: Secrets = new Map()

  constructor(readonly url: string) {}

  keep(name: string, secret: string): string {
    this.secrets.set(`${name} ${this.secrets.size}`, secret)
    return secret
  }

  /** A password that is nowhere else. */
  newPassword = (): string => this.keep('password', `pw-${crypto.randomUUID()}`)

  async call<T>(method: string, path: string, given: { token?: string; body?: object; key?: string } = {}): Promise<T> {
    const { status, text } = await this.try(method, path, given)
    if (status >= 400) throw new Error(`${method} ${path} was answered with ${status}: ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  async try(method: string, path: string, { token, body, key }: { token?: string; body?: object; key?: string } = {}) {
    const answer = await fetch(this.url + path, {
      method,
      redirect: 'manual',
      headers: {
        'user-agent': 'at-rest test',
        ...(body && { 'content-type': 'application/json' }),
        ...(token && { authorization: `Bearer ${token}` }),
        ...(key && { 'idempotency-key': key }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  }

  #keepTokens(answer: Answer): Answer {
    this.keep('access token', answer.accessToken)
    this.keep('refresh token', answer.refreshToken)
    return answer
  }

  async register(body: {
    username: string
    password: string
    email?: string
    inviteCode?: string
    setupCode?: string
  }) {
    return this.#keepTokens(await this.call<Answer>('POST', '/v1/auth/register', { body }))
  }

  async login(login: string, password: string) {
    return this.#keepTokens(await this.call<Answer>('POST', '/v1/auth/login', { body: { login, password } }))
  }

  async refresh(refreshToken: string) {
    return this.#keepTokens(await this.call<Answer>('POST', '/v1/auth/refresh', { body: { refreshToken } }))
  }

  /** The owner, with an invite that was asked for twice under one key, an API token and an OIDC provider. */
  async owner(issuer: string) {
    const password = this.newPassword()
    this.keep('setup code', SETUP_CODE)
    const { accessToken: token } = await this.register({ username: 'olga', password, setupCode: SETUP_CODE })
    const key = this.keep('idempotency key', crypto.randomUUID())
    const invite = await this.call<{ code: string }>('POST', '/v1/invites', { token, body: { maxUses: 5 }, key })
    const again = await this.call<{ code: string }>('POST', '/v1/invites', { token, body: { maxUses: 5 }, key })
    if (again.code !== invite.code) throw new Error('the answer was not kept for its key')
    this.keep('invite code', invite.code)
    const wanted = { name: 'a bot of mine', scopes: ['message.send'], password }
    const apiToken = await this.call<{ token: string }>('POST', '/v1/auth/tokens', { token, body: wanted })
    this.keep('API token', apiToken.token)
    await this.call('GET', '/v1/server', { token: apiToken.token })
    const clientSecret = this.keep('client secret', `secret-${crypto.randomUUID()}`)
    const provider = { name: 'Somewhere', issuer, clientId: 'conntext', clientSecret }
    await this.call('PUT', '/v1/auth/oidc/providers/somewhere', { token, body: provider })
    const { status, headers } = await this.try('GET', '/v1/auth/oidc/somewhere/start')
    if (status !== 302) throw new Error(`the OIDC login began with ${status}`)
    const query = new URL(headers.get('location')!).searchParams
    for (const name of ['state', 'nonce']) this.keep(`OIDC ${name}`, query.get(name)!)
    this.keep('OIDC cookie', /=([^;]+)/.exec(headers.get('set-cookie')!)![1]!)
    return { token, inviteCode: invite.code }
  }

  /** Somebody who logs in, refreshes, and mistypes their password. */
  async member(username: string, email: string, inviteCode: string) {
    const password = this.newPassword()
    await this.register({ username, password, email, inviteCode })
    const { refreshToken } = await this.login(username, password)
    const { accessToken: token } = await this.refresh(refreshToken)
    const wrong = this.keep('wrong password', `pw-${crypto.randomUUID()}`)
    await this.try('POST', '/v1/auth/login', { body: { login: username, password: wrong } })
    return { token, password }
  }

  /** An authenticator app with its recovery codes, and a login that proves it, by either. */
  async secondFactor({ username, token, password }: { username: string; token: string; password: string }) {
    const { secret } = await this.call<{ secret: string }>('POST', '/v1/auth/totp/enrol', { token, body: { password } })
    this.keep('TOTP secret', secret)
    const code = new TOTP({ secret: Secret.fromBase32(secret) }).generate()
    const confirmed = { token, body: { code } }
    const { recoveryCodes } = await this.call<{ recoveryCodes: string[] }>('POST', '/v1/auth/totp/confirm', confirmed)
    for (const one of recoveryCodes) this.keep('recovery code', one)
    const begin = async () => {
      const body = { login: username, password }
      const { mfaToken } = await this.call<{ mfaToken: string }>('POST', '/v1/auth/login', { body })
      return this.keep('MFA token', mfaToken)
    }
    const body = { mfaToken: await begin(), code: recoveryCodes[0]! }
    const proven = this.#keepTokens(await this.call<Answer>('POST', '/v1/auth/login/recovery-code', { body }))
    // Left under way.
    await begin()
    return { token: proven.accessToken, code }
  }

  /** Passkey ceremonies that have begun. */
  async passkeys({ token, password, code }: { token: string; password: string; code: string }) {
    type Start = { ceremonyToken: string; options: { challenge: string } }
    const body = { password, code }
    const starts = [
      await this.call<Start>('POST', '/v1/auth/passkeys/registration/options', { token, body }),
      await this.call<Start>('POST', '/v1/auth/passkeys/login/options', { body: {} }),
    ]
    for (const { ceremonyToken, options } of starts) {
      this.keep('ceremony token', ceremonyToken)
      this.keep('challenge', options.challenge)
    }
  }
}
