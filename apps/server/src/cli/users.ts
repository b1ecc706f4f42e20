import { authKeys, createAccountAdministration } from '@conntext/auth/admin'
import { type Logger, systemClock } from '@conntext/kernel'
import { openKeyring } from '@conntext/keyring'
import type { Place } from './place.ts'

const open = async ({ db, masterKey }: Pick<Place, 'db' | 'masterKey'>, log: Logger) =>
  createAccountAdministration({
    db,
    keyring: await openKeyring({ ...authKeys, db, masterKey, log }),
    clock: systemClock,
  })

/** One line for each account: its id, name and kind, how it stands, and when it was made. */
export async function* listUsers({ db, masterKey }: Place, log: Logger): AsyncGenerator<string> {
  for await (const { id, username, kind, standing, isOwner, createdAt } of (
    await open({ db, masterKey }, log)
  ).list()) {
    const role = isOwner ? 'owner' : kind
    yield [id, username.padEnd(32), role.padEnd(5), standing.padEnd(7), createdAt.toISOString()].join('  ')
  }
}

/** Answers the token, for standard output alone, and what there is to say about it. */
export async function resetPassword(place: Place, username: string, log: Logger) {
  const { token, expiresAt, ...account } = await (await open(place, log)).resetPassword(username)
  const said = `The token below sets a new password for ${account.username}, once, until ${expiresAt.toISOString()}: \
POST /v1/auth/password/reset {"token": …, "newPassword": …}. It is as good as the account: pass it on in private.`
  return { token, said }
}

export async function disableMfa(place: Place, username: string, log: Logger): Promise<string> {
  const { totp, passkeys, ...account } = await (await open(place, log)).disableMfa(username)
  if (!totp && passkeys === 0) return `${account.username} has no second factor.`
  const removed = [totp ? 'the authenticator app' : '', passkeys > 0 ? `${passkeys} passkeys` : ''].filter(Boolean)
  return `Removed ${removed.join(' and ')} of ${account.username}, and the recovery codes: a password is enough now.`
}
