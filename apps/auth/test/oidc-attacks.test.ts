import { expect, test } from 'bun:test'
import { identities, users, validationTokens } from '@conntext/db-server-details'
import { withResult } from '../src/oidc/return-to.ts'
import { testClock } from './stack.ts'
import { callbackUrl, type Oidc, readReturn, startOidc } from './support/oidc.ts'

const STATE_INVALID = { status: 400, body: { code: 'oidc.stateInvalid' } }
const FAILED = { status: 401, body: { code: 'oidc.failed' } }

const accounts = async (auth: Oidc) => (await auth.database.auth.select().from(users)).length

test('a state works once, in the browser that it was made for, for ten minutes', async () => {
  const clock = testClock()
  await using auth = await startOidc({ clock })
  const peer = await auth.peer()
  peer.people.set('sub-1', {})

  const browser = auth.browser()
  const url = await auth.arrive('sub-1', { browser })
  expect((await browser.ask(url)).status).toBe(200)
  expect(await auth.comeBack(browser, 'peer', Object.fromEntries(new URL(url).searchParams))).toMatchObject(
    STATE_INVALID,
  )

  // Login CSRF: the attacker's own login, finished in the victim's browser, with cookies of its own or without.
  const attacker = auth.browser()
  const stolen = Object.fromEntries(new URL(await auth.arrive('sub-1', { browser: attacker })).searchParams)
  const victim = auth.browser()
  await auth.depart('peer', { browser: victim })
  expect(await auth.comeBack(victim, 'peer', stolen)).toMatchObject(STATE_INVALID)
  const other = Object.fromEntries(new URL(await auth.arrive('sub-1', { browser: attacker })).searchParams)
  expect(await auth.comeBack(auth.browser(), 'peer', other)).toMatchObject(STATE_INVALID)
  expect(await auth.comeBack(attacker, 'peer', other)).toMatchObject(STATE_INVALID)

  const late = await auth.arrive('sub-1', { browser })
  clock.advance(600_001)
  expect(await auth.comeBack(browser, 'peer', Object.fromEntries(new URL(late).searchParams))).toMatchObject(
    STATE_INVALID,
  )
  for (const query of [{}, { code: 'x' }, { state: '' }, { state: 'made-up', code: 'x' }, { error: 'access_denied' }]) {
    expect(await auth.comeBack(browser, 'peer', query as Record<string, string>)).toMatchObject(STATE_INVALID)
  }
  const codes = (await auth.refusals('login.failed', 1)).map((event) => event.data.code)
  expect(new Set(codes)).toEqual(new Set(['oidc.stateInvalid']))
})

test('two logins in one browser don’t get in each other’s way', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const browser = auth.browser()
  const urls = [await auth.arrive('sub-1', { browser }), await auth.arrive('sub-1', { browser })]
  for (const url of urls) expect((await browser.ask(url)).status).toBe(200)
})

test.each([
  ['http://localhost:8080', /^conntext-oidc=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/],
  ['https://chat.example', /^__Host-conntext-oidc=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/],
])('at %s the cookie is as well kept as it can be', async (publicUrl, cookie) => {
  await using auth = await startOidc({ publicUrl })
  await auth.falsePeer()
  const { status, headers } = await auth.request('GET', '/v1/auth/oidc/false/start')
  expect(status).toBe(302)
  expect(headers.getSetCookie()).toEqual([expect.stringMatching(cookie)])
  const sent = new URL(headers.get('location')!).searchParams
  expect(sent.get('redirect_uri')).toBe(`${publicUrl}/v1/auth/oidc/false/callback`)
  expect(Object.fromEntries(sent)).toMatchObject({
    response_type: 'code',
    code_challenge_method: 'S256',
    nonce: expect.stringMatching(/^[\w-]{43}$/),
  })
})

test('what was begun with one provider is not finished with another (mix-up)', async () => {
  await using auth = await startOidc()
  const honest = await auth.peer()
  const attacker = await auth.falsePeer()
  honest.people.set('sub-1', {})
  const browser = auth.browser()

  // The victim meant the honest one, whose code must not get to the attacker …
  const { code, state, iss } = Object.fromEntries(new URL(await auth.arrive('sub-1', { browser })).searchParams)
  expect(await auth.comeBack(browser, 'false', { code: code!, state: state! })).toMatchObject(STATE_INVALID)
  // … nor be taken for the attacker's.
  const begun = await auth.depart('false', { browser })
  const mixed = await auth.comeBack(browser, 'false', { code: code!, state: begun.state, iss: iss! })
  expect(mixed).toMatchObject(FAILED)
  expect(attacker.asked.map(({ path }) => path)).not.toContain('/token')

  // The honest one says in its answers who it is (RFC 9207): another name, or none, is not it.
  for (const wrong of [{ iss: attacker.issuer }, {}]) {
    const url = new URL(await auth.arrive('sub-1', { browser }))
    const query = { code: url.searchParams.get('code')!, state: url.searchParams.get('state')!, ...wrong }
    expect(await auth.comeBack(browser, 'peer', query)).toMatchObject(FAILED)
  }
  expect(await accounts(auth)).toBe(1)
})

test('a provider’s code works once', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const browser = auth.browser()
  const url = new URL(await auth.arrive('sub-1', { browser }))
  expect((await browser.ask(url.href)).status).toBe(200)
  const again = await auth.depart('peer', { browser })
  const query = { code: url.searchParams.get('code')!, iss: peer.issuer, state: again.state }
  expect(await auth.comeBack(browser, 'peer', query)).toMatchObject(FAILED)
})

test('an ID token that proves nothing is refused', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  const past = Math.floor(Date.now() / 1000) - 3600
  expect((await auth.logInFalsely(peer, { sub: 'honest' })).status).toBe(200)
  const { nonce: earlier } = await auth.depart('false')
  const claims: Record<string, unknown>[] = [
    { nonce: earlier },
    { nonce: undefined },
    { aud: 'another client' },
    { aud: ['conntext', 'another client'] },
    { aud: ['conntext', 'another client'], azp: 'another client' },
    { iss: 'https://accounts.example' },
    { exp: past },
    { exp: undefined },
    { iat: undefined },
    { nbf: past + 7200 },
    { sub: undefined },
    { sub: '' },
    { sub: 7 },
    { sub: 'x'.repeat(256) },
  ]
  for (const forged of claims) expect(await auth.logInFalsely(peer, forged)).toMatchObject(FAILED)
  for (const signer of ['stranger', 'nobody', 'clientSecret'] as const) {
    peer.forgery.signer = signer
    expect(await auth.logInFalsely(peer, { sub: 'honest' })).toMatchObject(FAILED)
  }
  peer.forgery.signer = 'nobody'
  peer.forgery.metadata = { id_token_signing_alg_values_supported: ['none', 'RS256'] }
  await auth.setProvider('false', { issuer: peer.issuer, clientSecret: 'to be asked anew' })
  expect(await auth.logInFalsely(peer, { sub: 'honest' })).toMatchObject(FAILED)
  peer.forgery.signer = 'own'
  peer.forgery.answers['/token'] = () => Response.json({ access_token: 'only', token_type: 'Bearer' })
  expect(await auth.logInFalsely(peer, { sub: 'honest' })).toMatchObject(FAILED)
  expect(await accounts(auth)).toBe(2)
  expect(await auth.database.auth.select().from(identities)).toHaveLength(1)
})

test('results go to this server and to the origins that are listed, and nowhere else', async () => {
  await using auth = await startOidc({ oidc: { returnOrigins: ['https://app.example', 'http://127.0.0.1:4000'] } })
  await auth.falsePeer()
  const start = (returnTo: string) =>
    auth.request('GET', `/v1/auth/oidc/false/start?${new URLSearchParams({ returnTo })}`)
  for (const returnTo of [
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    'https:evil.example',
    'https:/evil.example',
    'https:///evil.example',
    'https:\\\\evil.example',
    'https://evil.example',
    'https://app.example.evil.example',
    'https://app.example@evil.example',
    'https://evil.example\\@app.example',
    'https://user:pass@app.example/',
    'https://app.example:8443/',
    'http://app.example/',
    'http://127.0.0.1:4001/',
    'https://app.example/#taken',
    'javascript:alert(1)',
    'javascript://app.example/%0aalert(1)',
    'data:text/html,hi',
    'relative',
    ' https://app.example/',
    'https://app.example/\r\nSet-Cookie: a=b',
    'https://app.example%2eevil.example/',
  ]) {
    const { status, headers } = await start(returnTo)
    expect({ returnTo, status, location: headers.get('location') }).toEqual({ returnTo, status: 422, location: null })
  }
  for (const returnTo of [
    '/',
    '/in?next=//evil.example',
    'http://localhost:8080/in',
    'https://app.example',
    'https://APP.example:443/in?x=1',
    'http://127.0.0.1:4000/cb',
  ]) {
    expect({ returnTo, status: (await start(returnTo)).status }).toEqual({ returnTo, status: 302 })
  }
  expect(withResult('https://app.example/', { code: 'a&b=c' })).toBe('https://app.example/#code=a%26b%3Dc')
})

test('a provider that is away, slow or talks too much costs nobody else anything', async () => {
  await using auth = await startOidc({ oidc: { timeoutMs: 1_500 } })
  const peer = await auth.falsePeer()
  const start = (query = '') => auth.request('GET', `/v1/auth/oidc/false/start${query}`)
  const away = { status: 503, body: { code: 'oidc.providerAway' } }
  const discovery = '/.well-known/openid-configuration'

  peer.forgery.delayMs = 20_000
  const started = performance.now()
  expect(await start()).toMatchObject(away)
  expect(performance.now() - started).toBeLessThan(15_000)
  expect(readReturn(await start('?returnTo=/in'))).toMatchObject({
    at: 'http://localhost:8080/in',
    result: { error: 'oidc.providerAway' },
  })
  expect(await auth.login('owner')).toMatchObject({ status: 200 })
  expect(await auth.database.auth.select().from(validationTokens)).toHaveLength(0)

  peer.forgery.delayMs = 0
  for (const answer of [
    () => new Response('no', { status: 502 }),
    () => new Response('{"issuer":', { headers: { 'content-type': 'application/json' } }),
    () => Response.json({ issuer: peer.issuer, authorization_endpoint: `${peer.issuer}/a`, x: 'x'.repeat(2_000_000) }),
    () => Response.redirect('https://example.org/', 302),
    () => Response.json({ issuer: 'https://other.example', authorization_endpoint: 'https://other.example/a' }),
    () => Response.json({ issuer: peer.issuer }),
    () => Response.json({ issuer: peer.issuer, authorization_endpoint: 'javascript:alert(1)' }),
    () => Response.json({ issuer: peer.issuer, authorization_endpoint: 'http://other.example/authorize' }),
  ]) {
    peer.forgery.answers[discovery] = answer
    expect(await start()).toMatchObject(away)
    await auth.setProvider('false', { issuer: peer.issuer, clientSecret: 'asked anew' })
  }
  peer.forgery.answers = {}
  expect((await start()).status).toBe(302)

  for (const path of ['/token', '/jwks', '/userinfo']) {
    const { browser, state, nonce } = await auth.depart('false')
    peer.forgery.claims = { nonce }
    peer.forgery.answers = { [path]: () => new Response(null, { status: 503 }) }
    expect(await auth.comeBack(browser, 'false', { code: 'x', state })).toMatchObject(away)
  }
  peer.forgery.answers = { '/token': () => Response.redirect('https://example.org/', 307) }
  expect(await auth.logInFalsely(peer, {})).toMatchObject(FAILED)
  peer.forgery.answers = {}
  expect((await auth.logInFalsely(peer, {})).status).toBe(200)
})

test('endpoints that a provider names elsewhere without protection are not asked', async () => {
  await using auth = await startOidc()
  const peer = await auth.falsePeer()
  // It could be reached, and is none of the names of this machine.
  peer.forgery.metadata = { token_endpoint: peer.issuer.replace('127.0.0.1', '0.0.0.0').concat('/token') }
  expect(await auth.logInFalsely(peer, {})).toMatchObject({ status: 503, body: { code: 'oidc.providerAway' } })
  expect(peer.asked.map(({ path }) => path)).toEqual(['/.well-known/openid-configuration'])
})

test('a provider that is removed, disabled or another by then lets nobody in', async () => {
  await using auth = await startOidc()
  const peer = await auth.peer()
  peer.people.set('sub-1', {})
  const browser = auth.browser()
  const gone = { status: 404, body: { code: 'oidc.providerNotFound' } }
  const settings = { issuer: peer.issuer }
  const remove = () => auth.request('DELETE', '/v1/auth/oidc/providers/peer', { token: auth.admin.accessToken })

  const changes: (() => Promise<{ status: number }>)[] = [
    () => auth.setProvider('peer', { ...settings, enabled: false }),
    () => auth.setProvider('peer', { ...settings, clientId: 'another' }),
    () => auth.setProvider('peer', { issuer: 'https://other.example' }),
    remove,
  ]
  for (const change of changes) {
    const url = await auth.arrive('sub-1', { browser })
    expect((await change()).status).toBeLessThan(300)
    expect(await auth.comeBack(browser, 'peer', Object.fromEntries(new URL(url).searchParams))).toMatchObject(gone)
    await auth.setProvider('peer', settings)
  }

  for (const change of [changes[0]!, remove]) {
    const { result } = readReturn(await auth.logIn('sub-1', { returnTo: '/' }))
    expect((await change()).status).toBeLessThan(300)
    expect(await auth.exchange(result.code!)).toMatchObject(gone)
    await auth.setProvider('peer', settings)
  }
})

test('neither the log nor the database nor a URL tells a secret of a login', async () => {
  const lines: string[] = []
  const write = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${Bun.inspect(fields, { depth: 9 })}`)
  }
  const log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  }
  await using auth = await startOidc({ log })
  const peer = await auth.falsePeer()
  await auth.logInFalsely(peer, { exp: 1 })
  await auth.logInFalsely(peer, { aud: 'another' })
  const { browser, state, nonce, sent } = await auth.depart('false')
  const rows = JSON.stringify(await auth.database.auth.select().from(validationTokens))
  for (const secret of [state, nonce]) expect(rows).not.toContain(secret)
  expect(sent.get('redirect_uri')).toBe(callbackUrl('false'))
  expect(lines.length).toBeGreaterThan(0)
  const said = lines.join('\n')
  const token = peer.asked.findLast(({ path }) => path === '/token')!
  for (const secret of [
    token.body.get('code_verifier')!,
    token.authorization!,
    [...browser.cookies('http://localhost:8080').values()][0]!,
  ]) {
    expect(secret.length).toBeGreaterThan(20)
    expect(said).not.toContain(secret)
  }
})
