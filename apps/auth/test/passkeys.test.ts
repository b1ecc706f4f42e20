import { expect, test } from 'bun:test'
import type { Passkey } from '@conntext/contracts'
import { credentials, passkeys, sessions, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import {
  type Auth,
  authenticator,
  finishRegistration,
  firstStep,
  passkeyLogin,
  requireMfa,
  startRegistration,
  touchOnly,
  withPasskey,
  withTotp,
} from './second-factors.ts'
import { PASSWORD, startAuth, testClock } from './stack.ts'

const remove = (auth: Auth, token: string, id: string, password = PASSWORD) =>
  auth.request('DELETE', `/v1/auth/passkeys/${id}`, { token, body: { password } })

test('a passkey is added by a ceremony, named, listed and renamed', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const token = ann.accessToken
  const { status, body } = await startRegistration(auth, ann)
  expect(status).toBe(200)
  expect(body.options).toMatchObject({
    rp: { id: 'localhost', name: 'ConnText' },
    user: { name: 'ann', displayName: 'ann' },
    attestation: 'none',
    excludeCredentials: [],
  })
  const device = authenticator()
  const response = device.create(body.options)
  const added = await finishRegistration(auth, ann, { ceremonyToken: body.ceremonyToken, name: ' laptop ', response })
  expect(added.status).toBe(201)
  const { recoveryCodes, ...passkey } = added.body
  expect(recoveryCodes).toHaveLength(10)
  expect(passkey).toMatchObject({ name: 'laptop', isSynced: true, lastUsedAt: null })
  const list = () => auth.request<{ items: Passkey[] }>('GET', '/v1/auth/passkeys', { token })
  expect((await list()).body).toEqual({ items: [passkey], nextCursor: null } as object as { items: Passkey[] })
  const renamed = await auth.request('PATCH', `/v1/auth/passkeys/${passkey.id}`, { token, body: { name: 'key' } })
  expect(renamed).toMatchObject({ status: 200, body: { ...passkey, name: 'key' } })
  expect((await auth.request('GET', '/v1/auth/mfa', { token })).body).toEqual({
    totp: false,
    passkeys: 1,
    recoveryCodesLeft: 10,
  })
  expect((await auth.port.grant({ userId: ann.user.id }))?.mfa).toBe(true)
  const about = { actor: { id: ann.user.id }, target: { id: passkey.id }, data: { userId: ann.user.id } }
  expect(await auth.actions('passkey.added')).toMatchObject([about])
  for (const name of ['a\ud800b', '\u2800', 'a\u202eb']) {
    const refused = await auth.request('PATCH', `/v1/auth/passkeys/${passkey.id}`, { token, body: { name } })
    expect(refused).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  }
  expect(await auth.actions('passkey.renamed')).toMatchObject([about])
})

test('a page of passkeys goes on where the one before ended', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  for (const name of ['one', 'two', 'three']) await withPasskey(auth, ann, authenticator(), name)
  const page = (query: string) =>
    auth.request<{ items: Passkey[]; nextCursor: string | null }>('GET', `/v1/auth/passkeys?${query}`, {
      token: ann.accessToken,
    })
  const first = (await page('limit=2')).body
  expect(first.items.map(({ name }) => name)).toEqual(['one', 'two'])
  const second = (await page(`limit=2&cursor=${first.nextCursor}`)).body
  expect(second.items.map(({ name }) => name)).toEqual(['three'])
  expect(second.nextCursor).toBeNull()
})

test('the first one ends the other sessions, a second factor after it brings no recovery codes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const elsewhere = (await auth.login('ann')).body
  await withPasskey(auth, ann)
  expect((await auth.request('GET', '/v1/auth/mfa', { token: elsewhere.accessToken })).status).toBe(401)
  expect((await withPasskey(auth, ann)).passkey.recoveryCodes).toBeNull()
  expect((await withTotp(auth, clock, ann)).recoveryCodes).toBeNull()
})

test('adding one takes the password, and being logged in', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  expect(await startRegistration(auth, ann, {})).toMatchObject({ status: 403, body: { code: 'confirmation.required' } })
  expect(await startRegistration(auth, ann, { password: 'wrong wrong' })).toMatchObject({
    status: 403,
    body: { code: 'confirmation.failed' },
  })
  const anonymous = { body: {} }
  const answers = [
    await auth.request('POST', '/v1/auth/passkeys/registration/options', anonymous),
    await auth.request('POST', '/v1/auth/passkeys', anonymous),
    await auth.request('GET', '/v1/auth/passkeys'),
    await auth.request('PATCH', `/v1/auth/passkeys/${newId()}`, anonymous),
    await auth.request('DELETE', `/v1/auth/passkeys/${newId()}`, anonymous),
  ]
  expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401])
})

test('what browsers say beyond what is known is taken, what is not theirs to say is not', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { ceremonyToken, options } = (await startRegistration(auth, ann)).body
  const said = authenticator().create(options)
  const send = (changed: object) => finishRegistration(auth, ann, { ceremonyToken, response: said, ...changed })
  const tried = [
    await send({ name: '' }),
    await send({ name: ' ' }),
    await send({ name: 'n'.repeat(65) }),
    await send({ userId: newId() }),
    await send({ response: { ...said, id: 'not base64url!' } }),
    await send({ response: { ...said, type: 'password' } }),
    await send({ response: { ...said, response: { ...said.response, attestationObject: 'A'.repeat(40_000) } } }),
    await send({ response: { ...said, clientExtensionResults: { ...Array.from({ length: 100 }, () => 1) } } }),
  ]
  expect(tried.map(({ status }) => status)).toEqual(tried.map(() => 422))
  const newer = {
    ...said,
    authenticatorAttachment: 'platform',
    response: { ...said.response, somethingNew: { level: 4 } },
    clientExtensionResults: { credProps: { rk: true }, prf: { enabled: false } },
  }
  expect((await send({ response: newer })).status).toBe(201)
})

test('a ceremony is one person’s, is over once it was tried, and ends after five minutes', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const bob = await auth.member('bob')
  const ended = { status: 410, body: { code: 'passkey.ceremonyEnded' } }
  const begin = async () => {
    const { ceremonyToken, options } = (await startRegistration(auth, ann)).body
    return { ceremonyToken, response: authenticator().create(options) }
  }
  expect(await finishRegistration(auth, bob, await begin())).toMatchObject(ended)
  const once = await begin()
  expect((await finishRegistration(auth, ann, once)).status).toBe(201)
  expect(await finishRegistration(auth, ann, once)).toMatchObject(ended)
  const first = await begin()
  const second = await begin()
  const crossed = { ceremonyToken: first.ceremonyToken, response: second.response }
  expect(await finishRegistration(auth, ann, crossed)).toMatchObject({
    status: 422,
    body: { code: 'passkey.notVerified' },
  })
  expect(await finishRegistration(auth, ann, first)).toMatchObject(ended)
  const inTime = await begin()
  const tooLate = await begin()
  clock.advance(4.5 * 60_000)
  expect((await finishRegistration(auth, ann, inTime)).status).toBe(201)
  clock.advance(0.5 * 60_000)
  const later = (await auth.refresh(ann.refreshToken)).body
  expect(await finishRegistration(auth, later, tooLate)).toMatchObject(ended)
})

test('one made on another page or for another domain is refused', async () => {
  const webauthn = { rpId: 'example.org', origins: ['https://CHAT.example.org:443', 'https://example.org'] }
  await using auth = await startAuth({ webauthn })
  const ann = await auth.member('ann')
  const add = async (origin: string, rpId = 'example.org') => {
    const { ceremonyToken, options } = (await startRegistration(auth, ann)).body
    const response = authenticator({}, origin).create({ ...options, rp: { ...options.rp, id: rpId } })
    const { status, body } = await finishRegistration(auth, ann, { ceremonyToken, response })
    return { status, code: body.code }
  }
  expect((await add('https://chat.example.org')).status).toBe(201)
  expect((await add('https://example.org')).status).toBe(201)
  const refused = { status: 422, code: 'passkey.notVerified' }
  expect(await add('https://evil.example.org')).toEqual(refused)
  expect(await add('https://chat.example.org:8443')).toEqual(refused)
  expect(await add('https://chat.example.org', 'chat.example.org')).toEqual(refused)
})

test('an authenticator is asked to keep out of an account that it is in, and a credential is in one account only', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { device } = await withPasskey(auth, ann)
  const { options } = (await startRegistration(auth, ann)).body
  expect(options.excludeCredentials).toHaveLength(1)
  expect(() => device.create(options)).toThrow(/EXCLUDED/)

  const bob = await auth.member('bob')
  const { ceremonyToken, options: his } = (await startRegistration(auth, bob)).body
  const response = authenticator().create(his)
  await auth.database.auth
    .update(passkeys)
    .set({ credentialId: Buffer.from(response.id, 'base64url') })
    .where(eq(passkeys.userId, ann.user.id))
  expect(await finishRegistration(auth, bob, { ceremonyToken, response })).toMatchObject({
    status: 409,
    body: { code: 'passkey.alreadyAdded' },
  })
})

test('an account has twenty at most, also when two are added at once', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  await withPasskey(auth, ann)
  const [row] = await auth.database.auth.select().from(passkeys)
  const more = Array.from({ length: 18 }, () => ({ ...row!, id: newId(), credentialId: Buffer.from(newId()) }))
  await auth.database.auth.insert(passkeys).values(more)
  const begun = await Promise.all(
    [0, 1].map(async () => {
      const { ceremonyToken, options } = (await startRegistration(auth, ann)).body
      return { ceremonyToken, response: authenticator().create({ ...options, excludeCredentials: [] }) }
    }),
  )
  const answers = await Promise.all(begun.map((one) => finishRegistration(auth, ann, one)))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409])
  expect(await startRegistration(auth, ann)).toMatchObject({ status: 409, body: { code: 'passkey.tooMany' } })
})

test('one is removed with the password; the last takes the recovery codes with it', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { passkey } = await withPasskey(auth, ann)
  expect((await remove(auth, ann.accessToken, passkey.id, 'wrong wrong')).status).toBe(403)
  expect((await remove(auth, ann.accessToken, passkey.id)).status).toBe(204)
  expect((await auth.request('GET', '/v1/auth/mfa', { token: ann.accessToken })).body).toEqual({
    totp: false,
    passkeys: 0,
    recoveryCodesLeft: 0,
  })
  expect((await auth.port.grant({ userId: ann.user.id }))?.mfa).toBe(false)
  expect((await auth.login('ann')).body.accessToken).toBeString()
  expect(await auth.actions('passkey.removed')).toMatchObject([{ target: { id: passkey.id } }])
})

test('the only way into an account stays', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const token = ann.accessToken
  const { passkey } = await withPasskey(auth, ann)
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, ann.user.id))
  const without = () => auth.request('DELETE', `/v1/auth/passkeys/${passkey.id}`, { token, body: {} })
  expect(await without()).toMatchObject({ status: 409, body: { code: 'passkey.lastWayIn' } })
  const { ceremonyToken, options } = (await startRegistration(auth, ann, {})).body
  const response = authenticator().create(options)
  expect((await finishRegistration(auth, ann, { ceremonyToken, response })).status).toBe(201)
  expect((await without()).status).toBe(204)
})

test('other people’s passkeys are not there', async () => {
  await using auth = await startAuth()
  const { passkey } = await withPasskey(auth, await auth.member('ann'))
  const { accessToken: token } = await auth.member('bob')
  const rename = await auth.request('PATCH', `/v1/auth/passkeys/${passkey.id}`, { token, body: { name: 'mine' } })
  expect(rename).toMatchObject({ status: 404, body: { code: 'passkey.notFound' } })
  expect(await remove(auth, token, passkey.id)).toMatchObject({ status: 404, body: { code: 'passkey.notFound' } })
  expect((await auth.request('GET', '/v1/auth/passkeys', { token })).body).toMatchObject({ items: [] })
})

test('where the server asks for a second factor one of two stays, also when both go at once', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const both = [(await withPasskey(auth, ann)).passkey, (await withPasskey(auth, ann)).passkey]
  await requireMfa(auth, true)
  const answers = await Promise.all(both.map(({ id }) => remove(auth, ann.accessToken, id)))
  expect(answers.map(({ status }) => status).sort()).toEqual([204, 409])
  expect(answers.find(({ status }) => status === 409)!.body).toMatchObject({ code: 'mfa.required' })
})

test('a passkey alone logs in with two factors: no password, no second step', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const { device } = await withPasskey(auth, ann)
  const { status, body } = await passkeyLogin(auth, device)
  expect(status).toBe(200)
  expect(body.user.id).toBe(ann.user.id)
  expect((await auth.request('GET', '/v1/users/@me', { token: body.accessToken })).status).toBe(200)
  const [session] = await auth.database.auth.select().from(sessions).where(eq(sessions.id, body.session.id))
  expect(session!.methods).toEqual(['hwk', 'mfa'])
  const list = await auth.request('GET', '/v1/auth/passkeys', { token: body.accessToken })
  expect(list.body).toMatchObject({ items: [{ lastUsedAt: clock.now().toISOString() }] })
  expect((await passkeyLogin(auth, device)).status).toBe(200)
})

test('somebody who may not use their account cannot log in by passkey', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { device } = await withPasskey(auth, ann)
  await auth.database.auth.update(users).set({ standing: 'banned' }).where(eq(users.id, ann.user.id))
  expect((await passkeyLogin(auth, device)).status).toBe(401)
})

test('beside a password it is the second factor, also where the authenticator does not know its owner', async () => {
  await using auth = await startAuth()
  const ann = await auth.member('ann')
  const { device } = await withPasskey(auth, ann, authenticator(touchOnly))
  const waiting = await firstStep(auth, 'ann')
  expect(waiting.methods).toEqual(['recoveryCode', 'passkey'])
  const { status, body } = await passkeyLogin(auth, device, waiting.mfaToken)
  expect(status).toBe(200)
  const [session] = await auth.database.auth.select().from(sessions).where(eq(sessions.id, body.session.id))
  expect(session!.methods).toEqual(['pwd', 'hwk', 'mfa'])
})
