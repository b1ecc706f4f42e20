import { expect, test } from 'bun:test'
import type { Authenticated, Identity, Problem } from '@conntext/contracts'
import { credentials, identities, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { eq, sql } from 'drizzle-orm'
import { withPasskey } from './second-factors.ts'
import { PASSWORD } from './stack.ts'
import { type Oidc, readReturn, startOidc } from './support/oidc.ts'

const beginLink = (auth: Oidc, account: Authenticated, fields: object = {}, provider = 'peer') =>
  auth.request<{ url: string } & Problem>('POST', `/v1/auth/oidc/${provider}/link`, {
    token: account.accessToken,
    body: { password: PASSWORD, ...fields },
  })

const completeLink = (auth: Oidc, account: Authenticated, body: { code: string; codeVerifier?: string }) =>
  auth.request<Identity & Problem>('POST', '/v1/auth/identities', { token: account.accessToken, body })

const listIdentities = async (auth: Oidc, account: Authenticated) =>
  (await auth.request<{ items: Identity[] }>('GET', '/v1/auth/identities', { token: account.accessToken })).body.items

const unlink = (auth: Oidc, account: Authenticated, id: string, body: object = { password: PASSWORD }) =>
  auth.request<Problem>('DELETE', `/v1/auth/identities/${id}`, { token: account.accessToken, body })

/** From the link's start to the code that completes it; in a browser that knows nothing of the account. */
async function codeOf(auth: Oidc, account: Authenticated, person: string, provider = 'peer'): Promise<string> {
  const { body } = await beginLink(auth, account, {}, provider)
  const browser = auth.browser()
  const url = await browser.follow(body.url, person, (at) => at.includes('/callback?'))
  return ((await (await browser.ask(url)).json()) as { code: string }).code
}

async function linked(auth: Oidc, account: Authenticated, person: string, provider = 'peer'): Promise<Identity> {
  const { status, body, text } = await completeLink(auth, account, {
    code: await codeOf(auth, account, person, provider),
  })
  if (status !== 201) throw new Error(text)
  return body
}

test('an account that is logged in is linked, and logged in with from then on', async () => {
  await using auth = await startOidc({ oidc: { returnOrigins: ['https://app.example'] } })
  const peer = await auth.peer()
  peer.people.set('sub-1', { email: 'other@example.org', email_verified: true })
  const ann = await auth.member('ann')

  const codeVerifier = 'v'.repeat(43)
  const codeChallenge = new Bun.CryptoHasher('sha256').update(codeVerifier).digest('base64url')
  const begun = await beginLink(auth, ann, { returnTo: 'https://app.example/linked', codeChallenge })
  expect(begun.status).toBe(200)
  const browser = auth.browser()
  const url = await browser.follow(begun.body.url, 'sub-1', (at) => at.includes('/callback?'))
  const returned = readReturn(await browser.ask(url))
  expect(returned).toMatchObject({ status: 302, at: 'https://app.example/linked' })

  const { status, body } = await completeLink(auth, ann, { code: returned.result.code!, codeVerifier })
  expect(status).toBe(201)
  expect(body).toMatchObject({ provider: { id: 'peer', name: 'peer' }, lastUsedAt: null })
  expect(await listIdentities(auth, ann)).toEqual([body])
  expect((await auth.logIn('sub-1')).body.user.id).toBe(ann.user.id)
  expect((await listIdentities(auth, ann))[0]?.lastUsedAt).toBeString()
  expect(await auth.actions('identity.linked')).toMatchObject([
    { actor: { id: ann.user.id, sessionId: ann.session.id }, severity: 'notice', data: { provider: 'peer' } },
  ])
  expect(await auth.database.auth.select().from(users)).toHaveLength(2)
})

test('a link takes a login of one’s own and proof that it is still the person', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const ann = await auth.member('ann')
  const begin = (call: object) => auth.request<Problem>('POST', '/v1/auth/oidc/false/link', call)
  expect(await begin({ body: {} })).toMatchObject({ status: 401 })
  expect(await begin({ token: ann.accessToken, body: {} })).toMatchObject({
    status: 403,
    body: { code: 'confirmation.required' },
  })
  expect(await beginLink(auth, ann, { password: 'not the password' }, 'false')).toMatchObject({
    status: 403,
    body: { code: 'confirmation.failed' },
  })
  expect(await beginLink(auth, ann, {}, 'nobody')).toMatchObject({ status: 404 })
  expect(await beginLink(auth, ann, { returnTo: 'https://evil.example' }, 'false')).toMatchObject({
    status: 422,
    body: { code: 'oidc.returnToRefused' },
  })
  expect(await beginLink(auth, ann, { userId: newId() }, 'false')).toMatchObject({ status: 422 })
  expect(peer.asked).toHaveLength(0)
  expect((await completeLink(auth, ann, { code: 'made-up' })).body.code).toBe('oidc.codeInvalid')
  expect(await auth.request('GET', '/v1/auth/identities')).toMatchObject({ status: 401 })
  expect(await auth.request('POST', '/v1/auth/identities', { body: { code: 'x' } })).toMatchObject({ status: 401 })
})

test('a link’s code is for the account that asked, and neither kind of code does for the other', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const ann = await auth.member('ann')
  const eve = await auth.member('eve')
  const refused = { status: 401, body: { code: 'oidc.codeInvalid' } }
  // Whoever is lured to finish somebody else's link gets a code that is of use to nobody.
  expect(await completeLink(auth, ann, { code: await codeOf(auth, eve, 'sub-1') })).toMatchObject(refused)
  expect(await auth.exchange(await codeOf(auth, ann, 'sub-1'))).toMatchObject(refused)
  const { result } = readReturn(await auth.logIn('sub-1', { returnTo: '/' }))
  expect(await completeLink(auth, ann, { code: result.code! })).toMatchObject(refused)
  expect(await listIdentities(auth, ann)).toEqual([])
})

test('nobody is two accounts’, and no account two people’s at one provider', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {}).set('sub-2', {})
  const [ann, bob] = [await auth.member('ann'), await auth.member('bob')]
  const second = await codeOf(auth, ann, 'sub-2')
  await linked(auth, ann, 'sub-1')
  expect(await completeLink(auth, ann, { code: second })).toMatchObject({ body: { code: 'oidc.alreadyLinked' } })
  expect(await beginLink(auth, ann)).toMatchObject({ status: 409, body: { code: 'oidc.alreadyLinked' } })
  expect(await completeLink(auth, bob, { code: await codeOf(auth, bob, 'sub-1') })).toMatchObject({
    status: 409,
    body: { code: 'oidc.identityTaken' },
  })

  const cat = await auth.member('cat')
  const codes = [await codeOf(auth, bob, 'sub-2'), await codeOf(auth, cat, 'sub-2')]
  const raced = await Promise.all([
    completeLink(auth, bob, { code: codes[0]! }),
    completeLink(auth, cat, { code: codes[1]! }),
  ])
  expect(raced.map(({ status }) => status).sort()).toEqual([201, 409])
  expect(await auth.database.auth.select().from(identities)).toHaveLength(2)
})

test('an address that both sides have seen proved links the accounts', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  const ann = await auth.memberAt('ann', 'Ann@Example.org')
  auth.system.mode = 'closed'
  peer.people.set('sub-1', { email: 'ann@example.ORG', email_verified: true })
  const arrivals = await Promise.all(
    [0, 1].map(async () => {
      const browser = auth.browser()
      return { browser, url: await auth.arrive('sub-1', { browser }) }
    }),
  )
  const answers = await Promise.all(arrivals.map(({ browser, url }) => browser.ask(url)))
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    expect(((await answer.json()) as Authenticated).user.id).toBe(ann.user.id)
  }
  expect(await auth.actions('identity.linked')).toMatchObject([{ target: { id: ann.user.id } }])

  peer.people.set('sub-2', { email: 'ann@example.org', email_verified: true })
  expect(await auth.logIn('sub-2')).toMatchObject({ status: 409, body: { code: 'oidc.alreadyLinked' } })
})

test.each([
  ['the provider', true, false],
  ['this server', false, true],
  ['anybody', false, false],
])('an address that %s has not seen proved links nothing', async (_, here, there) => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const ann = await auth.memberAt('ann', 'ann@example.org', here)
  const claims = { sub: '1', email: 'ann@example.org', email_verified: there, preferred_username: 'mallory' }
  const { body } = await auth.logInFalsely(peer, claims)
  expect(body.user).toMatchObject({ username: 'mallory', email: null, emailVerified: false })
  expect(body.user.id).not.toBe(ann.user.id)
  expect(await listIdentities(auth, ann)).toEqual([])
  auth.system.mode = 'closed'
  expect(await auth.logInFalsely(peer, { ...claims, sub: '2' })).toMatchObject({ status: 403 })
})

test('no provider vouches for the owner, or for who has power here, by an address alone', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const moderator = await auth.memberAt('mod', 'mod@example.org')
  const harmless = await auth.role(auth.admin, 'talker', ['channel.view', 'message.send'])
  const powerful = await auth.role(auth.admin, 'moderator', ['member.ban'])
  await auth.give(auth.admin, moderator.user.id, [powerful.id, harmless.id])
  await auth.database.auth
    .update(users)
    .set({ email: 'owner@example.org', emailKey: 'owner@example.org', emailVerifiedAt: new Date() })
    .where(eq(users.id, auth.admin.user.id))
  for (const name of ['owner', 'mod']) {
    const claims = { sub: name, email: `${name}@example.org`, email_verified: true }
    expect(await auth.logInFalsely(peer, claims)).toMatchObject({ status: 409, body: { code: 'oidc.linkNeedsLogin' } })
  }
  await auth.give(auth.admin, moderator.user.id, [harmless.id])
  const { body } = await auth.logInFalsely(peer, { sub: 'mod', email: 'mod@example.org', email_verified: true })
  expect(body.user.id).toBe(moderator.user.id)
})

test('one unlinks one’s own identities, and other people’s are as if they were not there', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {}).set('sub-2', {})
  const [ann, eve] = [await auth.member('ann'), await auth.member('eve')]
  const identity = await linked(auth, ann, 'sub-1')
  await linked(auth, eve, 'sub-2')
  const foreign = await unlink(auth, eve, identity.id)
  const unknown = await unlink(auth, eve, newId())
  expect(foreign).toMatchObject({ status: 404, body: { code: 'oidc.identityNotFound' } })
  expect({ ...foreign.body, requestId: '' }).toEqual({ ...unknown.body, requestId: '' })
  expect(await listIdentities(auth, eve)).toHaveLength(1)
  expect((await unlink(auth, ann, identity.id, {})).body.code).toBe('confirmation.required')
  expect((await unlink(auth, ann, 'no-id')).status).toBe(422)
  expect((await auth.request('DELETE', `/v1/auth/identities/${identity.id}`, { body: {} })).status).toBe(401)
  expect(await listIdentities(auth, ann)).toHaveLength(1)

  expect((await unlink(auth, ann, identity.id)).status).toBe(204)
  expect(await listIdentities(auth, ann)).toEqual([])
  expect(await auth.actions('identity.unlinked')).toMatchObject([
    { actor: { id: ann.user.id }, target: { id: ann.user.id }, data: { provider: 'peer' } },
  ])
  expect((await auth.logIn('sub-1')).body.user.id).not.toBe(ann.user.id)
})

test('the only way into an account stays', async () => {
  await using auth = await startOidc()
  const [one, two] = [await auth.peer('one'), await auth.peer('two')]
  one.people.set('sub-1', { preferred_username: 'ann' })
  two.people.set('sub-2', {})
  const { body: ann } = await auth.logIn('sub-1', { provider: 'one' })
  const [first] = await listIdentities(auth, ann)
  const lastWayIn = { status: 409, body: { code: 'oidc.lastWayIn' } }
  expect(await unlink(auth, ann, first!.id, {})).toMatchObject(lastWayIn)

  const second = await linked(auth, ann, 'sub-2', 'two')
  await auth.setProvider('two', { issuer: two.issuer, enabled: false })
  expect(await unlink(auth, ann, first!.id, {})).toMatchObject(lastWayIn)
  await auth.setProvider('two', { issuer: two.issuer })
  const db = auth.database.auth
  const isWaiting = async () => {
    const waiting = sql`
      select from pg_locks join pg_stat_activity using (pid) where datname = current_database() and not granted`
    return (await auth.database.system.execute(waiting)).length > 0
  }
  // The other one is on its way out when this one is asked for.
  const raced = await db.transaction(async (tx) => {
    await tx.select().from(users).where(eq(users.id, ann.user.id)).for('no key update')
    await tx.delete(identities).where(eq(identities.id, second.id))
    const answer = unlink(auth, ann, first!.id, {})
    await Promise.race([answer, eventually(isWaiting)])
    return { answer }
  })
  expect(await raced.answer).toMatchObject(lastWayIn)

  const [left] = await listIdentities(auth, ann)
  await withPasskey(auth, ann, undefined, 'phone')
  await auth.database.auth.delete(credentials).where(eq(credentials.userId, ann.user.id))
  expect((await unlink(auth, ann, left!.id, {})).status).toBe(204)
})
