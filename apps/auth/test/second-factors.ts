import type {
  AddedPasskey,
  Authenticated,
  MfaRequired,
  PasskeyLoginStart,
  PasskeyRegistrationStart,
  Problem,
  TotpConfirmed,
  TotpEnrolment,
} from '@conntext/contracts'
import { newServerSettings, serverSettings } from '@conntext/db-server-details'
import type { Clock } from '@conntext/kernel'
import { type Authenticator, authenticator, ORIGIN } from '@conntext/testing/authenticator'
import { Secret, TOTP } from 'otpauth'
import { PASSWORD, type startAuth } from './stack.ts'

export { type Authenticator, authenticator, ORIGIN }

export type Auth = Awaited<ReturnType<typeof startAuth>>

const STEP_MS = 30_000

/** An authenticator app of another make. */
export function authenticatorApp(secret: string, clock: Clock) {
  const totp = new TOTP({ secret: Secret.fromBase32(secret) })
  return {
    /** The code of now, or of so many steps later. */
    code: (later = 0) => totp.generate({ timestamp: clock.now().getTime() + later * STEP_MS }),
  }
}
export type App = ReturnType<typeof authenticatorApp>

export const enrol = (auth: Auth, { accessToken: token }: Authenticated, password = PASSWORD) =>
  auth.request<TotpEnrolment & Problem>('POST', '/v1/auth/totp/enrol', { token, body: { password } })

export const confirm = (auth: Auth, { accessToken: token }: Authenticated, code: string) =>
  auth.request<TotpConfirmed & Problem>('POST', '/v1/auth/totp/confirm', { token, body: { code } })

/** Sets an authenticator app up, and lets the code that confirmed it pass. */
export async function withTotp(auth: Auth, clock: Clock & { advance(ms: number): void }, account: Authenticated) {
  const { secret } = (await enrol(auth, account)).body
  const app = authenticatorApp(secret, clock)
  const { status, body, text } = await confirm(auth, account, app.code())
  if (status !== 200) throw new Error(`the authenticator app could not be set up: ${text}`)
  clock.advance(STEP_MS)
  return { app, recoveryCodes: body.recoveryCodes! }
}

/** The first step of a login that waits for a second. */
export async function firstStep(auth: Auth, username: string, address?: string): Promise<MfaRequired> {
  const answer = await auth.login(username, PASSWORD, address === undefined ? {} : { address })
  if (answer.status !== 200) throw new Error(`${username} could not log in: ${answer.text}`)
  return answer.body as unknown as MfaRequired
}

export const secondStep = (
  auth: Auth,
  by: 'totp' | 'recovery-code',
  mfaToken: string,
  code: string,
  address?: string,
) =>
  auth.request<Authenticated & Problem>('POST', `/v1/auth/login/${by}`, {
    body: { mfaToken, code },
    ...(address === undefined ? {} : { address }),
  })

const present = () => ({ options: { up: true, uv: false } })
/** For an authenticator that asks for a touch and no more: whose it is, it doesn't know. */
export const touchOnly = { userMakeCredentialInteraction: present, userGetAssertionInteraction: present }

export const startRegistration = (
  auth: Auth,
  { accessToken: token }: Authenticated,
  body: object = { password: PASSWORD },
) => auth.request<PasskeyRegistrationStart & Problem>('POST', '/v1/auth/passkeys/registration/options', { token, body })

export const finishRegistration = (
  auth: Auth,
  { accessToken: token }: Authenticated,
  body: { ceremonyToken: string; response: unknown; name?: string },
) => auth.request<AddedPasskey & Problem>('POST', '/v1/auth/passkeys', { token, body: { name: 'laptop', ...body } })

export async function withPasskey(auth: Auth, account: Authenticated, device = authenticator(), name = 'laptop') {
  const { ceremonyToken, options } = (await startRegistration(auth, account)).body
  const { status, body, text } = await finishRegistration(auth, account, {
    ceremonyToken,
    name,
    response: device.create(options),
  })
  if (status !== 201) throw new Error(`the passkey could not be added: ${text}`)
  return { device, passkey: body }
}

export const startPasskeyLogin = (auth: Auth, body: { mfaToken?: string } = {}, address?: string) =>
  auth.request<PasskeyLoginStart & Problem>('POST', '/v1/auth/passkeys/login/options', {
    body,
    ...(address === undefined ? {} : { address }),
  })

export const finishPasskeyLogin = (auth: Auth, ceremonyToken: string, response: unknown, address?: string) =>
  auth.request<Authenticated & Problem>('POST', '/v1/auth/passkeys/login', {
    body: { ceremonyToken, response },
    ...(address === undefined ? {} : { address }),
  })

/** A whole login by passkey, alone or as the second factor of the login that waits. */
export async function passkeyLogin(auth: Auth, device: Authenticator, mfaToken?: string) {
  const { ceremonyToken, options } = (await startPasskeyLogin(auth, mfaToken === undefined ? {} : { mfaToken })).body
  return finishPasskeyLogin(auth, ceremonyToken, device.get(options))
}

export async function requireMfa(auth: Auth, requireMfa: boolean): Promise<void> {
  await auth.database.system
    .insert(serverSettings)
    .values({ id: 1, ...newServerSettings, requireMfa })
    .onConflictDoUpdate({ target: serverSettings.id, set: { requireMfa } })
}
