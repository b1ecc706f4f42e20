import type { Authenticated, MfaRequired, Problem, TotpConfirmed, TotpEnrolment } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import { Secret, TOTP } from 'otpauth'
import { PASSWORD, type startAuth } from './stack.ts'

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
