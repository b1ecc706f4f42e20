import { expect, test } from 'bun:test'
import { subjects, userStream } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { PASSWORD, publicSide, SETUP_CODE, startAuth, testClock } from './stack.ts'

test('an account is made, logged in, audited and told of', async () => {
  await using auth = await startAuth()
  const { status, body } = await auth.register(
    { username: 'Ann.B', email: 'Ann@Example.org' },
    { address: '192.0.2.7' },
  )
  expect(status).toBe(201)
  expect(body.user).toMatchObject({ username: 'Ann.B', displayName: null, email: 'Ann@Example.org', isOwner: false })
  expect(Date.parse(body.accessTokenExpiresAt) - Date.now()).toBeWithin(280_000, 300_001)
  expect(Date.parse(body.refreshTokenExpiresAt) - Date.now()).toBeWithin(29.9 * 86_400_000, 30.1 * 86_400_000)
  const own = await auth.request('GET', '/v1/users/@me', { token: body.accessToken })
  expect(own).toMatchObject({ status: 200, body: body.user })

  const [registered] = await auth.actions('user.registered')
  expect(registered).toMatchObject({
    actor: { kind: 'user', id: body.user.id, sessionId: body.session.id, address: '192.0.2.7' },
    target: { kind: 'user', id: body.user.id },
    data: { username: 'Ann.B', via: 'open' },
  })
  expect(await auth.actions('session.created')).toHaveLength(1)
  const user = publicSide(body.user)
  expect(await auth.events('member.joined')).toMatchObject([
    { stream: 'server', data: { user, roleIds: [], joinedAt: user.createdAt } },
  ])
  expect(await auth.events('session.created')).toMatchObject([
    { stream: userStream(user.id), data: { id: body.session.id } },
  ])
})

test('what is not valid is a 422, and makes nothing', async () => {
  await using auth = await startAuth()
  for (const fields of [
    { username: 'a' },
    { username: 'has space' },
    { username: 'a@b.example' },
    { password: 'short' },
    { email: 'no address' },
    { isOwner: true },
  ]) {
    expect(await auth.register(fields)).toMatchObject({ status: 422, body: { code: 'request.invalid' } })
  }
  expect(await auth.database.auth.select().from(users)).toHaveLength(0)
})

test('a taken user name or email address is a 409, whatever its case', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  expect(await auth.register({ username: 'ANN' })).toMatchObject({
    status: 409,
    body: { code: 'registration.usernameTaken' },
  })
  expect(await auth.register({ username: 'bob', email: 'ANN@example.org' })).toMatchObject({
    status: 409,
    body: { code: 'registration.emailTaken' },
  })
})

test('a name that looks like another is taken as well, and some are nobody’s', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'Bill.Corner' })
  const taken = { status: 409, body: { code: 'registration.usernameTaken' } }
  for (const username of ['BiII.Corner', 'bi1l.corner', 'bill.c0rner', 'Bill.Comer']) {
    expect(await auth.register({ username })).toMatchObject(taken)
  }
  for (const username of ['system', 'SYSTEM', 'everyone', 'c0nntext']) {
    expect(await auth.register({ username })).toMatchObject(taken)
  }
  const race = await Promise.all(['eve0', 'eveO', 'EVEo'].map((username) => auth.register({ username })))
  expect(race.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  expect(race.find(({ status }) => status === 409)).toMatchObject(taken)
})

test('of registrations that race for one user name, one gets it', async () => {
  await using auth = await startAuth()
  const answers = await Promise.all(['ann', 'Ann', 'ANN', 'aNN'].map((username) => auth.register({ username })))
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409])
  expect(await auth.database.auth.select().from(users)).toHaveLength(1)
  expect(await auth.events('member.joined')).toHaveLength(1)
})

test('with the setup code the first account becomes the owner', async () => {
  await using auth = await startAuth()
  auth.system.mode = 'closed'
  const { status, body } = await auth.register({ username: 'owner', setupCode: SETUP_CODE })
  expect(status).toBe(201)
  expect(body.user.isOwner).toBe(true)
  expect(auth.claims()).toBe(1)
  expect((await auth.port.authority({})).ownerId).toBe(body.user.id)
  expect(await auth.actions('server.claimed')).toMatchObject([{ actor: { id: body.user.id }, severity: 'notice' }])
  expect(auth.published).toContainEqual({ subject: subjects.authority, payload: {} })

  const late = await auth.register({ username: 'late', setupCode: SETUP_CODE })
  expect(late).toMatchObject({ status: 403, body: { code: 'registration.setupCodeWrong' } })
})

test('of registrations that race with one setup code, one becomes the owner and no other makes an account', async () => {
  await using auth = await startAuth()
  const answers = await Promise.all(
    ['a1', 'a2', 'a3', 'a4', 'a5'].map((username) => auth.register({ username, setupCode: SETUP_CODE })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 403, 403, 403, 403])
  const winner = answers.find(({ status }) => status === 201)!.body
  expect((await auth.port.authority({})).ownerId).toBe(winner.user.id)
  expect(await auth.database.auth.select().from(users)).toHaveLength(1)
  expect(await auth.actions('server.claimed')).toHaveLength(1)
})

test('a wrong setup code is refused, audited, and after ten of them the address has to wait', async () => {
  await using auth = await startAuth({ clock: testClock() })
  const wrong = () => auth.register({ username: 'thief', setupCode: 'wrong' }, { address: '192.0.2.9' })
  for (let i = 0; i < 10; i++) expect((await wrong()).status).toBe(403)
  const { status, headers } = await auth.register(
    { username: 'thief', setupCode: SETUP_CODE },
    { address: '192.0.2.9' },
  )
  expect(status).toBe(429)
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await auth.register({ setupCode: SETUP_CODE }, { address: '192.0.2.10' })).status).toBe(201)
  const refused = await auth.refusals('registration.refused', 2)
  expect(refused).toMatchObject([
    { actor: { kind: 'anonymous', address: '192.0.2.9' }, data: { code: 'registration.setupCodeWrong' } },
    { data: { code: 'registration.throttled' } },
  ])
})

test('a closed server takes nobody, an invited one nobody without an invite', async () => {
  await using auth = await startAuth()
  auth.system.mode = 'closed'
  auth.system.invites.set('welcome', { roleId: null, usesLeft: 1 })
  expect(await auth.register({ inviteCode: 'welcome' })).toMatchObject({
    status: 403,
    body: { code: 'registration.closed' },
  })
  auth.system.mode = 'invite'
  expect(await auth.register({})).toMatchObject({ status: 403, body: { code: 'registration.inviteRequired' } })
  expect(await auth.register({ inviteCode: 'unknown' })).toMatchObject({
    status: 404,
    body: { code: 'invite.notFound' },
  })
  expect(await auth.register({ inviteCode: 'welcome' })).toMatchObject({ status: 201 })
  expect(await auth.register({ username: 'next', inviteCode: 'welcome' })).toMatchObject({
    status: 410,
    body: { code: 'invite.usedUp' },
  })
  const codes = (await auth.refusals('registration.refused', 4)).map((event) => event.data.code)
  expect(codes).toEqual(['registration.closed', 'registration.inviteRequired', 'invite.notFound', 'invite.usedUp'])
})

test("an invite's role is given with the account", async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const role = await auth.role(owner, 'guests')
  auth.system.invites.set('welcome', { roleId: role.id, usesLeft: 1 })
  const { body } = await auth.register({ inviteCode: 'welcome' })
  expect(await auth.port.grant({ userId: body.user.id })).toMatchObject({ roleIds: [role.id] })
  expect(await auth.actions('member.rolesChanged')).toMatchObject([{ data: { added: [role.id], removed: [] } }])
  expect((await auth.events('member.joined')).at(-1)?.data).toMatchObject({ roleIds: [role.id] })
})

test('a taken name costs no use of an invite, and a race that is lost gives its use back', async () => {
  await using auth = await startAuth()
  auth.system.invites.set('welcome', { roleId: null, usesLeft: 10 })
  await auth.register({ username: 'ann' })
  expect((await auth.register({ username: 'ann', inviteCode: 'welcome' })).status).toBe(409)
  expect(auth.system.invites.get('welcome')?.usesLeft).toBe(10)

  const answers = await Promise.all(
    ['bob', 'bob', 'bob'].map((username) => auth.register({ username, inviteCode: 'welcome' })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409])
  expect(auth.system.invites.get('welcome')?.usesLeft).toBe(9)
})

test('without an invite that counts nobody learns whose names and addresses are taken', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  auth.system.mode = 'invite'
  for (const input of [{ username: 'ann' }, { email: 'ann@example.org' }, {}]) {
    const answer = await auth.register({ ...input, inviteCode: 'made-up' })
    expect(answer.body).toMatchObject({ status: 404, code: 'invite.notFound' })
  }
})

test('a use that cannot be given back at once is given back later', async () => {
  await using auth = await startAuth()
  auth.system.invites.set('welcome', { roleId: null, usesLeft: 10 })
  auth.system.failReleases = 2
  await Promise.all(['bob', 'bob'].map((username) => auth.register({ username, inviteCode: 'welcome' })))
  await auth.delivered()
  expect(auth.system.invites.get('welcome')?.usesLeft).toBe(9)
})

test('passwords are kept as argon2id with at least 19 MiB and two passes', async () => {
  await using auth = await startAuth()
  await auth.register({})
  const [row] = await auth.database.auth.query.credentials.findMany()
  expect(row?.passwordHash).toStartWith('$argon2id$v=19$m=19456,t=2,p=1$')
  expect(await Bun.password.verify(PASSWORD, row!.passwordHash)).toBe(true)
})
