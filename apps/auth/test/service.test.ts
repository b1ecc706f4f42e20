import { expect, test } from 'bun:test'
import { authorityState, dataKeys, roles, signingKeys } from '@conntext/db-server-details'
import { silentLogger } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import postgres from 'postgres'
import { createAuthService } from '../src/service.ts'
import { PASSWORD, SETUP_CODE, startAuth, testClock } from './stack.ts'

test('every route declares a permission or that it is public', async () => {
  await using auth = await startAuth()
  const declared = auth.service.app.routes.map(({ method, path, hooks }) => {
    const { detail } = hooks as { detail?: { operationId?: string; 'x-permission'?: string } }
    expect(detail?.operationId).toBeString()
    return `${method} ${path} ${detail?.['x-permission']}`
  })
  expect(declared.sort()).toEqual([
    'DELETE /v1/auth/identities/:id account',
    'DELETE /v1/auth/oidc/providers/:provider server.manage',
    'DELETE /v1/auth/passkeys/:id account',
    'DELETE /v1/auth/sessions account',
    'DELETE /v1/auth/sessions/:id account',
    'DELETE /v1/auth/tokens/:id account',
    'DELETE /v1/bans/:userId member.ban',
    'DELETE /v1/bots/:id bot.manage',
    'DELETE /v1/members/:id/roles/:roleId role.manage',
    'DELETE /v1/members/:id/timeout member.timeout',
    'DELETE /v1/members/@me account',
    'DELETE /v1/roles/:id role.manage',
    'DELETE /v1/users/@me account',
    'GET /.well-known/jwks.json public',
    'GET /v1/auth/identities account',
    'GET /v1/auth/mfa account',
    'GET /v1/auth/oidc public',
    'GET /v1/auth/oidc/:provider/callback public',
    'GET /v1/auth/oidc/:provider/start public',
    'GET /v1/auth/oidc/providers server.manage',
    'GET /v1/auth/passkeys account',
    'GET /v1/auth/sessions account',
    'GET /v1/auth/sessions/:id account',
    'GET /v1/auth/tokens account',
    'GET /v1/bans member.ban',
    'GET /v1/bans/:userId member.ban',
    'GET /v1/bots bot.manage',
    'GET /v1/members member',
    'GET /v1/members/:id member',
    'GET /v1/permissions member',
    'GET /v1/permissions/effective member',
    'GET /v1/roles member',
    'GET /v1/roles/:id member',
    'GET /v1/users/:id member',
    'GET /v1/users/@me self',
    'GET /v1/users/@me/export account',
    'PATCH /v1/auth/passkeys/:id account',
    'PATCH /v1/bots/:id bot.manage',
    'PATCH /v1/members/:id member',
    'PATCH /v1/roles/:id role.manage',
    'PATCH /v1/users/@me account',
    'POST /v1/auth/email/request-verification account',
    'POST /v1/auth/email/verify public',
    'POST /v1/auth/identities account',
    'POST /v1/auth/login public',
    'POST /v1/auth/login/recovery-code public',
    'POST /v1/auth/login/totp public',
    'POST /v1/auth/logout account',
    'POST /v1/auth/oidc/:provider/link account',
    'POST /v1/auth/oidc/exchange public',
    'POST /v1/auth/passkeys account',
    'POST /v1/auth/passkeys/login public',
    'POST /v1/auth/passkeys/login/options public',
    'POST /v1/auth/passkeys/registration/options account',
    'POST /v1/auth/password/change account',
    'POST /v1/auth/password/request-reset public',
    'POST /v1/auth/password/reset public',
    'POST /v1/auth/refresh public',
    'POST /v1/auth/register public',
    'POST /v1/auth/tokens account',
    'POST /v1/auth/totp/confirm account',
    'POST /v1/auth/totp/disable account',
    'POST /v1/auth/totp/enrol account',
    'POST /v1/auth/totp/recovery-codes account',
    'POST /v1/bans member.ban',
    'POST /v1/bots bot.manage',
    'POST /v1/members/:id/kick member.kick',
    'POST /v1/members/:id/ownership account',
    'POST /v1/members/:id/timeout member.timeout',
    'POST /v1/roles role.manage',
    'PUT /v1/auth/oidc/providers/:provider server.manage',
    'PUT /v1/members/:id/roles/:roleId role.manage',
    'PUT /v1/members/@me account',
  ])
})

test('instances that start at once on an empty database make one set of rows and keys', async () => {
  await using auth = await startAuth()
  const db = auth.database.auth
  await auth.service.stop()
  for (const table of [authorityState, roles, signingKeys, dataKeys]) await db.delete(table)
  const instances = [0, 1, 2].map(() => createAuthService(auth.options))
  await Promise.all(instances.map((one) => one.start()))
  await Promise.all(instances.map((one) => one.stop()))
  for (const table of [authorityState, roles, signingKeys]) expect(await db.select().from(table)).toHaveLength(1)
  expect((await db.select().from(dataKeys)).map(({ purpose }) => purpose).sort()).toEqual(['hash', 'seal'])
})

test('after a restart the tokens from before still hold', async () => {
  await using auth = await startAuth()
  const { accessToken, refreshToken } = await auth.member('ann')
  const again = createAuthService(auth.options)
  await again.start()
  const headers = { authorization: `Bearer ${accessToken}` }
  const own = await again.app.handle(new Request('http://localhost/v1/users/@me', { headers }))
  expect(own.status).toBe(200)
  const body = JSON.stringify({ refreshToken })
  const json = { 'content-type': 'application/json' }
  const fresh = await again.app.handle(
    new Request('http://localhost/v1/auth/refresh', { method: 'POST', headers: json, body }),
  )
  expect(fresh.status).toBe(200)
  await again.stop()
})

test('a session that ended while an instance was away has ended for it too', async () => {
  await using auth = await startAuth()
  const { accessToken } = await auth.member('ann')
  await auth.request('POST', '/v1/auth/logout', { token: accessToken })
  const late = createAuthService(auth.options)
  await late.start()
  expect(await late.guard.identify(accessToken)).toBeUndefined()
  await late.stop()
})

test('with another master key the service does not start, and says why', async () => {
  await using auth = await startAuth()
  const other = createAuthService({ ...auth.options, masterKey: new Uint8Array(32).fill(1) })
  await expect(other.start()).rejects.toThrow(/master key doesn't open/)
  expect(() => createAuthService({ ...auth.options, masterKey: new Uint8Array(16) })).toThrow(/32 bytes/)
})

test('the database holds no password, token, setup code, address or private key in clear', async () => {
  await using auth = await startAuth()
  const device = { address: '198.51.100.23', headers: { 'user-agent': 'a-telling-user-agent' } }
  auth.system.failReleases = 1
  const { body: owner } = await auth.register({ username: 'owner', setupCode: SETUP_CODE }, device)
  await auth.login('owner', 'a-wrong-password', device)
  await auth.register({ setupCode: 'a-wrong-setup-code' }, device)
  const { body: again } = await auth.login('owner', PASSWORD, device)
  const { body: renewed } = await auth.refresh(again.refreshToken, device)
  await auth.refresh(again.refreshToken, device)
  const logout = { ...device, token: owner.accessToken }
  await auth.request('POST', '/v1/auth/logout', logout)
  // Not what it was delivered without: the audit has it in full.
  expect(await auth.refusals('login.failed', 1)).toMatchObject([
    { actor: { address: device.address, userAgent: 'a-telling-user-agent' } },
  ])

  const admin = postgres(auth.database.adminUrl, { max: 1 })
  const tables = await admin`select tablename as name from pg_tables where schemaname = 'public'`
  const rows: string[] = []
  for (const { name } of tables) {
    // bytea as text is hex, so what is looked for is looked for as hex, too.
    for (const row of await admin`select t::text as row from ${admin(name)} t`) rows.push(row.row)
  }
  const privateKeys = await admin`select private_key as key from signing_keys`
  await admin.end()
  const dump = rows.join('\n')
  expect(dump).toContain(owner.user.id)
  const secrets = [
    PASSWORD,
    'a-wrong-password',
    SETUP_CODE,
    'a-wrong-setup-code',
    device.address,
    'a-telling-user-agent',
    ...[owner, again, renewed].flatMap((one) => [one.accessToken, one.refreshToken]),
  ]
  for (const secret of secrets) {
    expect(dump).not.toContain(secret)
    expect(dump).not.toContain(Buffer.from(secret).toString('hex'))
    expect(dump).not.toContain(Buffer.from(secret).toString('base64').replace(/=+$/, ''))
  }
  // An Ed25519 key in PKCS #8 begins so (RFC 8410).
  expect(privateKeys).toHaveLength(1)
  expect(Buffer.from(privateKeys[0]!.key).toString('hex')).not.toContain('302e020100300506032b6570')
})

test('a flood of refusals is recorded as one and how many there were', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  const ann = await auth.member('ann')
  const refused = () => auth.request('POST', '/v1/roles', { token: ann.accessToken, body: { name: 'mine' } })
  for (let i = 0; i < 25; i++) expect((await refused()).status).toBe(403)
  await auth.refusals('access.refused', 1)
  clock.advance(61_000)
  await refused()
  const events = await auth.refusals('access.refused', 3)
  expect(events.map((event) => event.data)).toEqual([
    { permission: 'role.manage' },
    { permission: 'role.manage', repeats: 24 },
    { permission: 'role.manage' },
  ])
  await refused()
  await auth.service.stop()
  expect(auth.system.audit.filter((event) => event.action === 'access.refused').at(-1)?.data).toEqual({
    permission: 'role.manage',
    repeats: 1,
  })
})

test('a flood from everywhere is recorded only so far', async () => {
  await using auth = await startAuth({ clock: testClock() })
  auth.system.mode = 'closed'
  const attempts = Array.from({ length: 700 }, (_, i) => auth.register({}, { address: `10.0.${i >> 8}.${i & 255}` }))
  for (const { status } of await Promise.all(attempts)) expect(status).toBe(403)
  await auth.service.stop()
  const recorded = auth.system.audit.filter((event) => event.action === 'registration.refused')
  expect(recorded.length).toBeWithin(500, 601)
})

test('what is owed while system is away is delivered when it is back, in order', async () => {
  let away = true
  const system = await startAuth()
  const { port } = { port: system.options.system }
  await using auth = await startAuth({
    log: silentLogger,
    system: {
      ...port,
      ingestAudit: async (request) => {
        if (away) throw new Error('away')
        return port.ingestAudit(request)
      },
    },
  })
  await auth.member('ann')
  await auth.member('bob')
  expect(system.system.audit).toHaveLength(0)
  away = false
  await eventually(() => system.system.audit.length === 4)
  expect(system.system.audit.map((event) => event.action)).toEqual([
    'session.created',
    'user.registered',
    'session.created',
    'user.registered',
  ])
  await system[Symbol.asyncDispose]()
})

test('a refused request carries the id that it came with', async () => {
  await using auth = await startAuth()
  const { status, headers, body } = await auth.request<{ requestId: string }>('GET', '/v1/users/@me', {
    headers: { 'x-request-id': 'given-by-the-client' },
  })
  expect({ status, requestId: body.requestId }).toEqual({ status: 401, requestId: 'given-by-the-client' })
  expect(headers.get('www-authenticate')).toBe('Bearer')
})
