import { expect, test } from 'bun:test'
import type { OidcProvider, Problem } from '@conntext/contracts'
import { oidcProviders } from '@conntext/db-server-details'
import { startOidc } from './support/oidc.ts'
import { CLIENT_SECRET } from './support/oidc-provider.ts'

const ISSUER = 'https://id.example/realms/main'

test('providers are set up, shown without their secret, changed and removed, each time on record', async () => {
  await using auth = await startOidc()
  const call = <T>(method: string, path: string) =>
    auth.request<T & Problem>(method, `/v1/auth/oidc${path}`, { token: auth.admin.accessToken })
  const { status, body } = await auth.setProvider('corp', { issuer: ISSUER, name: ' Corp ', scopes: ['email'] })
  expect(status).toBe(200)
  expect(body as OidcProvider).toEqual({
    id: 'corp',
    name: 'Corp',
    issuer: ISSUER,
    clientId: 'conntext',
    hasClientSecret: true,
    scopes: ['openid', 'email'],
    enabled: true,
    redirectUri: 'http://localhost:8080/v1/auth/oidc/corp/callback',
    createdAt: body.createdAt,
  })
  await auth.setProvider('pro', { issuer: ISSUER, enabled: false })
  const listed = await call<{ items: OidcProvider[] }>('GET', '/providers')
  expect(listed.body.items.map(({ id }) => id)).toEqual(['corp', 'pro'])
  expect(listed.text).not.toContain(CLIENT_SECRET)
  const options = await auth.request('GET', '/v1/auth/oidc')
  expect(options).toMatchObject({ status: 200, body: { items: [{ id: 'corp', name: 'Corp' }] } })
  const rows = await auth.database.auth.select().from(oidcProviders)
  expect(Buffer.from(rows[0]!.clientSecret!).toString('latin1')).not.toContain(CLIENT_SECRET)

  await auth.setProvider('corp', { issuer: ISSUER, name: 'Corp', scopes: ['email'], clientSecret: 'another' })
  expect((await call('DELETE', '/providers/corp')).status).toBe(204)
  expect(await call('DELETE', '/providers/corp')).toMatchObject({
    status: 404,
    body: { code: 'oidc.providerNotFound' },
  })
  expect(await auth.actions('oidcProvider.set')).toMatchObject([
    {
      actor: { id: auth.admin.user.id },
      target: { kind: 'oidcProvider', id: 'corp' },
      data: {
        fields: ['name', 'issuer', 'clientId', 'scopes', 'enabled', 'clientSecret'],
        changes: { issuer: { to: ISSUER }, scopes: { to: ['openid', 'email'] }, enabled: { to: true } },
      },
    },
    { target: { id: 'pro' } },
    { data: { fields: ['clientSecret'], changes: {} } },
  ])
  expect(JSON.stringify(await auth.actions('oidcProvider.set'))).not.toContain(CLIENT_SECRET)
  expect(await auth.actions('oidcProvider.removed')).toMatchObject([{ target: { id: 'corp' } }])
})

test('setting up providers takes server.manage', async () => {
  await using auth = await startOidc()
  const ann = await auth.member('ann')
  for (const [method, path, body] of [
    ['GET', '', undefined],
    ['PUT', '/corp', { name: 'x', issuer: ISSUER, clientId: 'x' }],
    ['DELETE', '/corp', undefined],
  ] as const) {
    const call = (token?: string) => auth.request(method, `/v1/auth/oidc/providers${path}`, { token, body })
    expect(await call()).toMatchObject({ status: 401 })
    expect(await call(ann.accessToken)).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
  }
  const manager = await auth.role(auth.admin, 'manager', ['server.manage'])
  await auth.give(auth.admin, ann.user.id, [manager.id])
  expect((await auth.setProvider('corp', { issuer: ISSUER }, ann.accessToken)).status).toBe(200)
})

test('an issuer is protected, plain and not the metadata’s address', async () => {
  await using auth = await startOidc()
  for (const issuer of [
    'http://id.example',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'http://169.254.169.254/',
    'ftp://id.example',
    'javascript:alert(1)',
    'id.example',
    'https://user:pass@id.example',
    'https://id.example/?tenant=1',
    'https://id.example/#x',
    'https://id.example/.well-known/openid-configuration',
  ]) {
    const { status, body } = await auth.setProvider('corp', { issuer })
    expect({ issuer, status, code: body.code }).toEqual({ issuer, status: 422, code: 'oidc.issuerRefused' })
  }
  for (const issuer of ['http://localhost:9000', 'http://[::1]:9000/x', 'http://127.0.0.9']) {
    expect({ issuer, status: (await auth.setProvider('corp', { issuer })).status }).toEqual({ issuer, status: 200 })
  }
  for (const fields of [
    { scopes: ['with space'] },
    { name: ' ' },
    { name: '\u2800' },
    { clientId: '' },
    { clientId: 'a\ud800b' },
    { clientSecret: 'a\ud800b' },
    { mine: true },
    { clientSecret: '' },
  ]) {
    expect(await auth.setProvider('corp', { issuer: ISSUER, ...fields })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid' },
    })
  }
  for (const id of ['providers', 'exchange', 'Corp', '-x', 'x'.repeat(33), 'a.b']) {
    expect({ id, status: (await auth.setProvider(id, { issuer: ISSUER })).status }).toEqual({ id, status: 422 })
  }
})

test('a secret is not sent to anybody but whom it was given for', async () => {
  await using auth = await startOidc()
  const set = (settings: object) =>
    auth.request<OidcProvider & Problem>('PUT', '/v1/auth/oidc/providers/corp', {
      token: auth.admin.accessToken,
      body: { name: 'Corp', clientId: 'conntext', issuer: ISSUER, ...settings },
    })
  await set({ clientSecret: 'the secret' })
  expect((await set({ name: 'Renamed' })).body).toMatchObject({ name: 'Renamed', hasClientSecret: true })
  for (const change of [{ issuer: 'https://evil.example' }, { clientId: 'another' }]) {
    expect(await set(change)).toMatchObject({ status: 422, body: { code: 'oidc.secretNeeded' } })
    expect((await set({ ...change, clientSecret: null })).body).toMatchObject({ hasClientSecret: false })
    await set({ clientSecret: 'the secret' })
  }
})

test('the issuer of a provider that accounts are linked to stays', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  await auth.logInFalsely(peer, { sub: '1' })
  expect(await auth.setProvider('false', { issuer: 'https://evil.example' })).toMatchObject({
    status: 409,
    body: { code: 'oidc.issuerInUse' },
  })
  expect((await auth.setProvider('false', { issuer: peer.issuer, name: 'Renamed' })).status).toBe(200)
})

test('a provider is set up whether or not it is there, and there is an end to their number', async () => {
  await using auth = await startOidc()
  for (let i = 0; i < 32; i += 1) {
    expect((await auth.setProvider(`p${i}`, { issuer: `http://127.0.0.1:1/${i}` })).status).toBe(200)
  }
  expect(await auth.setProvider('p32', { issuer: ISSUER })).toMatchObject({
    status: 409,
    body: { code: 'oidc.tooManyProviders' },
  })
  expect((await auth.setProvider('p0', { issuer: ISSUER })).status).toBe(200)
})
