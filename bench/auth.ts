import { login } from './auth/login.ts'
import { permission } from './auth/permission.ts'
import { revoke } from './auth/revoke.ts'
import { verify } from './auth/verify.ts'
import type { Bench } from './lib/result.ts'

/** What it costs to let somebody in, to know them again, to know what they may do, and to take it from them. */
export const auth: Bench = async (options, report) => {
  for (const part of [login, verify, permission, revoke]) await part(options, report)
}
