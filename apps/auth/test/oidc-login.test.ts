import { expect, test } from 'bun:test'
import { subjects } from '@conntext/contracts'
import {
  identities,
  newServerSettings,
  SETTINGS_ID,
  serverSettings,
  sessions,
  users,
} from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'
import { usernamesFor } from '../src/oidc/usernames.ts'
import { withTotp } from './second-factors.ts'
import { testClock } from './stack.ts'
import { readReturn, startOidc, startUrl } from './support/oidc.ts'

test('somebody new gets an account of what the provider says of them, and comes into it again', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', { email: 'Ann@Example.org', email_verified: true, preferred_username: 'ann' })

  const { status, body, headers } = await auth.logIn('sub-1')
  expect(status).toBe(200)
  expect(body.user).toMatchObject({
    username: 'ann',
    email: 'Ann@Example.org',
    emailVerified: true,
    hasPassword: false,
    isMember: true,
  })
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('referrer-policy')).toBe('no-referrer')
  const own = await auth.request('GET', '/v1/users/@me', { token: body.accessToken })
  expect(own).toMatchObject({ status: 200, body: body.user })
  expect(await auth.database.auth.select().from(sessions).where(eq(sessions.userId, body.user.id))).toMatchObject([
    { methods: ['fed'] },
  ])

  expect(await auth.actions('user.registered')).toMatchObject([
    {},
    { actor: { id: body.user.id }, target: { id: body.user.id }, data: { username: 'ann', via: 'open' } },
  ])
  expect(await auth.actions('identity.linked')).toMatchObject([
    { actor: { id: body.user.id }, target: { id: body.user.id }, data: { provider: 'peer' } },
  ])
  expect((await auth.events('member.joined')).at(-1)?.data).toMatchObject({ user: { id: body.user.id } })

  peer.people.set('sub-1', { preferred_username: 'renamed' })
  const again = await auth.logIn('sub-1')
  expect(again.body.user).toEqual(body.user)
  expect(again.body.session.id).not.toBe(body.session.id)
  expect(await auth.database.auth.select().from(users)).toHaveLength(2)
  const [identity] = await auth.database.auth.select().from(identities)
  expect(identity).toMatchObject({ userId: body.user.id, subject: 'sub-1', lastUsedAt: expect.any(Date) })
})

test('an account with a second factor is still asked for it', async () => {
  const clock = testClock()
  await using auth = await startOidc({ clock })
  const peer = await auth.peer()
  const ann = await auth.memberAt('ann', 'ann@example.org')
  peer.people.set('sub-1', { email: 'ann@example.org', email_verified: true })
  await auth.logIn('sub-1')
  const { app } = await withTotp(auth, clock, ann)

  const { status, body } = await auth.logIn('sub-1')
  expect(status).toBe(200)
  expect(body).toMatchObject({ mfaRequired: true, methods: expect.arrayContaining(['totp']) })
  expect(body.accessToken).toBeUndefined()
  const second = await auth.request('POST', '/v1/auth/login/totp', {
    body: { mfaToken: body.mfaToken, code: app.code() },
  })
  expect(second).toMatchObject({ status: 200, body: { user: { id: ann.user.id } } })
})

test('what the provider says of somebody comes from the ID token, or else from the userinfo endpoint', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const one = await auth.logInFalsely(peer, { sub: '1', email: 'one@example.org', email_verified: true })
  expect(one.body.user).toMatchObject({ username: 'one', email: 'one@example.org', emailVerified: true })
  expect(peer.asked.map(({ path }) => path)).not.toContain('/userinfo')

  peer.forgery.userInfo = { email: 'two@example.org', email_verified: 'true', preferred_username: 'zwei' }
  const two = await auth.logInFalsely(peer, { sub: '2' })
  expect(two.body.user).toMatchObject({ username: 'zwei', email: 'two@example.org', emailVerified: true })

  // Whatever another source says is verified, this address isn't.
  peer.forgery.userInfo = { email: 'own@example.org', email_verified: true }
  const three = await auth.logInFalsely(peer, { sub: '3', email: 'three@example.org' })
  expect(three.body.user).toMatchObject({ email: 'three@example.org', emailVerified: false })

  peer.forgery.userInfo = { sub: 'another', email: 'four@example.org' }
  expect(await auth.logInFalsely(peer, { sub: '4' })).toMatchObject({ status: 401, body: { code: 'oidc.failed' } })
  const five = await auth.logInFalsely(peer, { sub: '5', email: 'no address', email_verified: true })
  expect(five.body.user).toMatchObject({ username: 'member', email: null })
})

test('a client authenticates as the provider says that it takes it', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const token = () => peer.asked.findLast(({ path }) => path === '/token')!
  await auth.logInFalsely(peer, {})
  expect(token().authorization).toStartWith('Basic ')
  expect(token().body.get('code_verifier')).toMatch(/^[\w-]{43}$/)

  peer.forgery.metadata = { token_endpoint_auth_methods_supported: ['client_secret_post'] }
  await auth.setProvider('false', { issuer: peer.issuer, clientSecret: 'another' })
  await auth.logInFalsely(peer, {})
  expect(token().authorization).toBeNull()
  expect(token().body.get('client_secret')).toBe('another')

  await auth.setProvider('false', { issuer: peer.issuer, clientSecret: null })
  await auth.logInFalsely(peer, {})
  expect(token().body.has('client_secret')).toBe(false)
})

test('a name that is taken gets a number, an address that is taken stays with whom it belongs to', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  await auth.memberAt('ann', 'ann@example.org', false)
  const names = []
  for (const sub of ['1', '2', '3']) {
    const claims = {
      sub,
      email: 'ANN@example.org',
      email_verified: true,
      preferred_username: sub === '3' ? 'anñ' : 'ANN',
    }
    const { body } = await auth.logInFalsely(peer, claims)
    names.push(body.user.username)
    expect(body.user.email).toBeNull()
  }
  expect(names).toEqual(['ANN-2', 'ANN-3', 'ann-4'])
})

test('an address that the provider has not seen proved is asked about by mail', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const { body } = await auth.logInFalsely(peer, { sub: '1', email: 'ann@example.org' })
  expect(body.user).toMatchObject({ email: 'ann@example.org', emailVerified: false })
  expect((await auth.mailTo('ann@example.org')).text).toContain('verify-email')
  await auth.logInFalsely(peer, { sub: '2', email: 'bob@example.org', email_verified: true })
  await auth.delivered()
  expect(auth.mails.map(({ to }) => to)).toEqual(['ann@example.org'])
})

test('a name that nobody may have is passed over', () => {
  expect(usernamesFor({ email: null, emailVerified: false, preferredUsername: 'Server' }).next().value).toBe('Server-2')
})

test.each([
  [{ preferredUsername: 'Jürgen Müller' }, 'Jurgen-Muller'],
  [{ preferredUsername: 'ann@corp.example' }, 'ann'],
  [{ preferredUsername: '-.x', email: 'straße@example.org' }, 'strasse'],
  [{ preferredUsername: '李明' }, 'member'],
  [{ email: 'x'.repeat(64) }, 'x'.repeat(32)],
])('%j is called %s', (profile, username) => {
  const names = [...usernamesFor({ email: null, emailVerified: false, preferredUsername: undefined, ...profile })]
  expect(names[0]).toBe(username)
  expect(names[1]).toBe(`${username.slice(0, 30)}-2`)
  for (const name of names) expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$/)
})

test('the browser takes a code to where the login was wanted, which works once and for a minute', async () => {
  const clock = testClock()
  await using auth = await startOidc({ clock, oidc: { returnOrigins: ['https://app.example'] } })
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const returnTo = 'https://app.example/after?x=1'
  const answer = await auth.logIn('sub-1', { returnTo })
  const { status, at, result } = readReturn(answer)
  expect({ status, at, keys: Object.keys(result) }).toEqual({ status: 302, at: returnTo, keys: ['code'] })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('referrer-policy')).toBe('no-referrer')

  const taken = await Promise.all([0, 1, 2].map(() => auth.exchange(result.code!)))
  expect(taken.map((one) => one.status).sort()).toEqual([200, 401, 401])
  expect(taken.find((one) => one.status === 401)?.body.code).toBe('oidc.codeInvalid')
  expect(taken.find((one) => one.status === 200)?.headers.get('cache-control')).toBe('no-store')

  const late = readReturn(await auth.logIn('sub-1', { returnTo: '/after' }))
  expect(late.at).toBe('http://localhost:8080/after')
  clock.advance(60_001)
  expect(await auth.exchange(late.result.code!)).toMatchObject({ status: 401, body: { code: 'oidc.codeInvalid' } })
  expect((await auth.exchange('made-up')).status).toBe(401)
})

test('with a challenge at the start, the code is no good without its verifier', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const codeVerifier = 'v'.repeat(43)
  const codeChallenge = new Bun.CryptoHasher('sha256').update(codeVerifier).digest('base64url')
  const code = async () => readReturn(await auth.logIn('sub-1', { returnTo: '/', codeChallenge })).result.code!
  expect((await auth.exchange(await code())).status).toBe(401)
  const tried = await code()
  expect((await auth.exchange(tried, 'w'.repeat(43))).status).toBe(401)
  expect((await auth.exchange(tried, codeVerifier)).status).toBe(401)
  expect((await auth.exchange(await code(), codeVerifier)).status).toBe(200)
})

test('new accounts are made by the server’s own rules, and what is refused costs no use of an invite', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  for (const sub of ['1', '2', '3']) peer.people.set(sub, { preferred_username: `person-${sub}` })
  const { id: roleId } = await auth.role(auth.admin, 'guests')
  auth.system.invites.set('welcome', { roleId, usesLeft: 1 })
  const refused = { status: 403, body: { code: 'registration.closed' } }
  auth.system.mode = 'closed'
  expect(await auth.logIn('1', { inviteCode: 'welcome' })).toMatchObject(refused)
  expect(readReturn(await auth.logIn('1', { returnTo: '/' })).result).toEqual({ error: 'registration.closed' })
  auth.system.mode = 'invite'
  expect(await auth.logIn('1')).toMatchObject({ status: 403, body: { code: 'registration.inviteRequired' } })
  expect(await auth.logIn('1', { inviteCode: 'no' })).toMatchObject({ status: 404, body: { code: 'invite.notFound' } })
  expect(auth.system.invites.get('welcome')?.usesLeft).toBe(1)
  expect(await auth.database.auth.select().from(users)).toHaveLength(1)

  const { status, body } = await auth.logIn('1', { inviteCode: 'welcome' })
  expect({ status, left: auth.system.invites.get('welcome')?.usesLeft }).toEqual({ status: 200, left: 0 })
  expect(await auth.port.grant({ userId: body.user.id })).toMatchObject({ roleIds: [roleId] })
  expect(await auth.logIn('2', { inviteCode: 'welcome' })).toMatchObject({ status: 410 })
  auth.system.mode = 'closed'
  expect((await auth.logIn('1')).status).toBe(200)
  auth.system.mode = 'open'
  expect((await auth.logIn('3')).status).toBe(200)
  const codes = (await auth.refusals('registration.refused', 4)).map((event) => event.data.code)
  expect(codes).toEqual(['registration.closed', 'registration.inviteRequired', 'invite.notFound', 'invite.usedUp'])
})

test('of logins that bring one new person at once, one makes the account and all come into it', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', { preferred_username: 'ann' })
  auth.system.mode = 'invite'
  auth.system.invites.set('welcome', { roleId: null, usesLeft: 10 })
  const arrivals = await Promise.all(
    [0, 1, 2, 3].map(async () => {
      const browser = auth.browser()
      return { browser, url: await auth.arrive('sub-1', { browser, inviteCode: 'welcome' }) }
    }),
  )
  const answers = await Promise.all(arrivals.map(({ browser, url }) => browser.ask(url)))
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(await auth.database.auth.select().from(users)).toHaveLength(2)
  expect(await auth.events('member.joined')).toHaveLength(2)
  await auth.delivered()
  expect(auth.system.invites.get('welcome')?.usesLeft).toBe(9)
})

test('somebody who says no at the provider is told so, and it is recorded', async () => {
  await using auth = await startOidc()
  await auth.peer()
  expect(await auth.logIn('')).toMatchObject({ status: 403, body: { code: 'oidc.denied' } })
  expect(readReturn(await auth.logIn('', { returnTo: '/in' }))).toMatchObject({
    at: 'http://localhost:8080/in',
    result: { error: 'oidc.denied' },
  })
  expect(await auth.refusals('login.failed', 1)).toMatchObject([{ data: { code: 'oidc.denied' }, outcome: 'failed' }])
})

test('somebody who is banned does not get in, also not by their address', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  const ann = await auth.memberAt('ann', 'ann@example.org')
  await auth.database.auth.update(users).set({ standing: 'banned' }).where(eq(users.id, ann.user.id))
  peer.people.set('sub-1', { email: 'ann@example.org', email_verified: true })
  for (const _ of ['by address', 'by identity']) {
    const { status, body } = await auth.logIn('sub-1')
    expect([401, 403]).toContain(status)
    expect(body.accessToken).toBeUndefined()
  }
  expect(await auth.database.auth.select().from(users)).toHaveLength(2)
})

test('a start without a provider is a 404, a disabled one is the same, and nonsense a 422', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const start = (provider: string, query = '') => auth.request('GET', `/v1/auth/oidc/${provider}/start${query}`)
  expect(await start('nobody')).toMatchObject({ status: 404, body: { code: 'oidc.providerNotFound' } })
  await auth.setProvider('false', { issuer: peer.issuer, enabled: false })
  expect(await start('false')).toMatchObject({ status: 404, body: { code: 'oidc.providerNotFound' } })
  for (const query of ['?codeChallenge=short', '?unknown=1', '?returnTo=']) {
    expect(await start('false', query)).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  }
  expect(await start('UPPER')).toMatchObject({ status: 422 })
  expect(startUrl('false')).toEndWith('/false/start')
})

test('under maintenance whoever is known comes in, and nobody becomes a member', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('old', { preferred_username: 'ann' })
  peer.people.set('new', { preferred_username: 'bob' })
  expect(await auth.logIn('old')).toMatchObject({ status: 200 })
  const before = await auth.database.auth.$count(users)
  const maintain = async (since: Date | null) => {
    const maintenance = { maintenanceSince: since }
    await auth.database.system
      .insert(serverSettings)
      .values({ id: SETTINGS_ID, ...newServerSettings, ...maintenance })
      .onConflictDoUpdate({ target: serverSettings.id, set: maintenance })
    await auth.bus.announce(subjects.authority, '{}')
  }
  await maintain(new Date())
  expect(await auth.logIn('old')).toMatchObject({ status: 200 })
  await auth.logIn('new').catch(() => {})
  expect(await auth.database.auth.$count(users)).toBe(before)
  await maintain(null)
  expect(await auth.logIn('new')).toMatchObject({ status: 200 })
})
