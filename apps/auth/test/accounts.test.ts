import { describe, expect, test } from 'bun:test'
import { dataKeys, passkeys, recoveryCodes, totpSecrets, users, validationTokens } from '@conntext/db-server-details'
import { newId, silentLogger, systemClock } from '@conntext/kernel'
import { openKeyring } from '@conntext/keyring'
import { eq } from 'drizzle-orm'
import { createAccountAdministration } from '../src/accounts/administration.ts'
import { MASTER_KEY, PASSWORD, startAuth } from './stack.ts'

/** A running service, and a command beside it: with keys of its own from the same database. */
async function startBoth() {
  const auth = await startAuth()
  const db = auth.database.auth
  const keyring = await openKeyring({ table: dataKeys, db, masterKey: MASTER_KEY, service: 'auth', log: silentLogger })
  const accounts = createAccountAdministration({ db, keyring, clock: systemClock })
  return { auth, db, accounts, [Symbol.asyncDispose]: () => auth[Symbol.asyncDispose]() }
}

type Both = Awaited<ReturnType<typeof startBoth>>

const reset = ({ auth }: Both, token: string, newPassword = 'another long password') =>
  auth.request('POST', '/v1/auth/password/reset', { body: { token, newPassword } })

describe('a password reset by the operator', () => {
  for (const email of [undefined, 'owner@example.org']) {
    test(`lets who ${email ? 'has' : 'never gave'} an address back in, once`, async () => {
      await using both = await startBoth()
      const { user } = await both.auth.owner()
      if (email) await both.db.update(users).set({ email, emailKey: email }).where(eq(users.id, user.id))
      const { token, username } = await both.accounts.resetPassword('OWNER')
      expect(username).toBe('owner')
      expect((await reset(both, token)).status).toBe(204)
      expect((await reset(both, token)).status).toBe(400)
      expect((await both.auth.login('owner', PASSWORD)).status).toBe(401)
      expect((await both.auth.login('owner', 'another long password')).status).toBe(200)
    })
  }

  test('ends those that were made before, and is recorded as the system’s', async () => {
    await using both = await startBoth()
    const { user } = await both.auth.owner()
    const first = await both.accounts.resetPassword('owner')
    const second = await both.accounts.resetPassword('owner')
    expect((await reset(both, first.token)).status).toBe(400)
    expect((await reset(both, second.token)).status).toBe(204)
    const events = await both.auth.actions('user.passwordResetRequested')
    expect(events.map(({ actor, target }) => [actor.kind, target.id])).toEqual([
      ['system', user.id],
      ['system', user.id],
    ])
  })

  test('is refused for nobody, a bot, a banned and a deleted account, and makes no token', async () => {
    await using both = await startBoth()
    await both.auth.owner()
    const { user } = await both.auth.member('somebody')
    const become = (change: Partial<typeof users.$inferInsert>) =>
      both.db.update(users).set(change).where(eq(users.id, user.id))
    const refused = async (code: string) =>
      await expect(both.accounts.resetPassword('somebody')).rejects.toMatchObject({ code: `account.${code}` })
    await expect(both.accounts.resetPassword('nobody')).rejects.toMatchObject({ code: 'account.notFound' })
    await become({ standing: 'banned' })
    await refused('notForUse')
    await become({ standing: 'deleted' })
    await refused('notFound')
    await become({ standing: 'active', kind: 'bot' })
    await refused('notForUse')
    expect(await both.db.select().from(validationTokens)).toEqual([])
  })
})

describe('taking the second factors from an account', () => {
  const give = async ({ db }: Both, userId: string) => {
    const dataKeyId = newId()
    await db.insert(totpSecrets).values({ userId, secret: new Uint8Array(40), dataKeyId, confirmedAt: new Date() })
    await db.insert(recoveryCodes).values({ userId, hash: crypto.getRandomValues(new Uint8Array(32)) })
    const passkeyId = newId()
    await db.insert(passkeys).values({
      id: passkeyId,
      userId,
      credentialId: crypto.getRandomValues(new Uint8Array(16)),
      publicKey: new Uint8Array(8),
      counter: 0,
      transports: [],
      deviceType: 'singleDevice',
      backedUp: false,
      name: 'a key',
    })
    return passkeyId
  }

  test('lets its owner in with the password alone; nobody else loses anything', async () => {
    await using both = await startBoth()
    const { user } = await both.auth.owner()
    const { user: other } = await both.auth.member('somebody')
    const passkeyId = await give(both, user.id)
    await give(both, other.id)
    expect((await both.auth.login('owner')).body).toMatchObject({ mfaRequired: true })
    expect(await both.accounts.disableMfa('owner')).toEqual({ username: 'owner', totp: true, passkeys: 1 })
    expect((await both.auth.login('owner')).body.accessToken).toBeString()
    expect((await both.auth.login('somebody')).body).toMatchObject({ mfaRequired: true })
    for (const table of [totpSecrets, recoveryCodes, passkeys]) {
      expect((await both.db.select().from(table)).map(({ userId }) => userId)).toEqual([other.id])
    }
    expect(await both.auth.actions('mfa.disabled')).toMatchObject([
      { actor: { kind: 'system' }, target: { id: user.id }, data: { method: 'totp' } },
    ])
    expect(await both.auth.actions('passkey.removed')).toMatchObject([{ target: { id: passkeyId } }])
  })

  test('says so when there is none, and records nothing', async () => {
    await using both = await startBoth()
    await both.auth.owner()
    expect(await both.accounts.disableMfa('owner')).toEqual({ username: 'owner', totp: false, passkeys: 0 })
    expect(await both.auth.actions('mfa.disabled')).toEqual([])
  })
})
