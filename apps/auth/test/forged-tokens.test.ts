import { expect, test } from 'bun:test'
import { createHmac } from 'node:crypto'
import { dataKeys, signingKeys } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose'
import { signingKeyContext } from '../src/keys/signing-keys.ts'
import { MASTER_KEY, startAuth, testClock } from './stack.ts'

const OTHER_MASTER_KEY = new Uint8Array(32).fill(9)

type Auth = Awaited<ReturnType<typeof startAuth>>

const use = async (auth: Auth, token: string) => {
  const { status, body } = await auth.request<{ code: string }>('GET', '/v1/auth/sessions', { token })
  return status === 200 ? 200 : { status, code: body.code }
}
const refused = { status: 401, code: 'access.unauthenticated' }

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The server's own key, as nobody has it: for tokens that are wrong in nothing but their claims. */
async function ownKey(auth: Auth, masterKey = MASTER_KEY) {
  const keyring = new Keyring({
    table: dataKeys,
    service: 'auth',
    db: auth.database.auth,
    masterKey,
    log: silentLogger,
  })
  await auth.database.auth.transaction((tx) => keyring.load(tx))
  const [row] = await auth.database.auth.select().from(signingKeys)
  const { id, dataKeyId, privateKey, publicKey } = row!
  const opened = await keyring.open({ dataKeyId, sealed: privateKey }, signingKeyContext(id))
  const key = await crypto.subtle.importKey('pkcs8', new Uint8Array(opened), 'Ed25519', false, ['sign'])
  return { kid: id, key, publicKey }
}

type Forging = { header?: Partial<JWTHeaderParameters>; claims?: object }

/** What makes tokens as the server would, but for what is given. */
async function forger(auth: Auth) {
  const clock = testClock()
  const { kid, key, publicKey } = await ownKey(auth)
  const { user, session } = await auth.member('ann')
  const now = Math.floor(clock.now().getTime() / 1000)
  const right = { sub: user.id, sid: session.id, iss: 'conntext', aud: 'conntext', iat: now, exp: now + 300 }
  const headerOf = (header: object) => ({ alg: 'EdDSA', kid, ...header }) as JWTHeaderParameters
  return {
    kid,
    publicKey,
    right,
    now,
    sign: ({ header = {}, claims = {} }: Forging, signer: CryptoKey = key) =>
      new SignJWT({ ...right, ...claims }).setProtectedHeader(headerOf(header)).sign(signer),
    unsigned: (header: object, signature = '') => `${encode(headerOf(header))}.${encode(right)}.${signature}`,
  }
}

test('the forger of these tests makes tokens that would pass', async () => {
  await using auth = await startAuth()
  const { sign } = await forger(auth)
  expect(await use(auth, await sign({}))).toBe(200)
})

test('a token that names no algorithm, or another, is refused', async () => {
  await using auth = await startAuth()
  const { unsigned, publicKey, kid } = await forger(auth)
  for (const alg of ['none', 'None', 'nOnE', '', null, ['none']]) {
    expect(await use(auth, unsigned({ alg }))).toEqual(refused)
    expect(await use(auth, unsigned({ alg }, 'AAAA'))).toEqual(refused)
    expect(await use(auth, unsigned({ alg, kid: undefined }))).toEqual(refused)
  }
  // The public key as if it were a shared secret, in each form in which it is published.
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: publicKey, kid, alg: 'EdDSA', use: 'sig' }
  const raw = Buffer.from(publicKey, 'base64url')
  for (const secret of [publicKey, raw, JSON.stringify(jwk)]) {
    for (const [alg, hash] of [
      ['HS256', 'sha256'],
      ['HS512', 'sha512'],
    ] as const) {
      const head = unsigned({ alg }).slice(0, -1)
      const token = `${head}.${createHmac(hash, secret).update(head).digest('base64url')}`
      expect(await use(auth, token)).toEqual(refused)
    }
  }
})

test('no header makes a stranger’s key count', async () => {
  await using auth = await startAuth()
  const { sign, kid } = await forger(auth)
  const stranger = await generateKeyPair('Ed25519', { extractable: true })
  const jwk = await exportJWK(stranger.publicKey)
  let asked = 0
  const server = Bun.serve({
    port: 0,
    fetch() {
      asked += 1
      return Response.json({ keys: [{ ...jwk, kid: 'mine' }] })
    },
  })
  const jku = `http://127.0.0.1:${server.port}/jwks.json`
  const headers = [
    {},
    { jwk },
    { kid: 'mine', jwk },
    { kid: 'mine', jku },
    { jku },
    { kid: jku },
    { kid: 'mine', x5u: jku },
    { kid: `${kid} ` },
    { kid: `${kid}\0` },
    { kid: '../../../dev/null' },
    { kid: "' or '1'='1" },
    { kid: '__proto__' },
    { kid: newId() },
    { kid: '' },
    { kid: 'x'.repeat(4_000) },
  ]
  for (const header of headers) expect(await use(auth, await sign({ header }, stranger.privateKey))).toEqual(refused)
  await server.stop(true)
  expect(asked).toBe(0)
  // The right key under a wrong name is no key.
  expect(await use(auth, await sign({ header: { kid: 'mine' } }))).toEqual(refused)
})

test('a token whose claims are wrong is refused, whoever signed it', async () => {
  await using auth = await startAuth()
  const { sign, now } = await forger(auth)
  const other = await auth.member('bob')
  for (const claims of [
    { exp: now - 1 },
    { exp: undefined },
    { exp: 'later' },
    { nbf: now + 120 },
    { iss: 'somebody else' },
    { iss: undefined },
    { aud: 'another audience' },
    { aud: undefined },
    { sub: undefined },
    { sid: undefined },
    { sub: newId() },
  ]) {
    expect({ claims, answer: await use(auth, await sign({ claims })) }).toEqual({ claims, answer: refused })
  }
  await auth.request('POST', '/v1/auth/logout', { token: other.accessToken })
  const ended = { sub: other.user.id, sid: other.session.id }
  expect(await use(auth, await sign({ claims: ended }))).toEqual(refused)
})

test('a token of another deployment is refused, though all it says is the same', async () => {
  await using auth = await startAuth()
  await using foreign = await startAuth({ masterKey: OTHER_MASTER_KEY })
  const ours = await forger(auth)
  const theirs = await ownKey(foreign, OTHER_MASTER_KEY)
  expect(await use(auth, (await foreign.member('ann')).accessToken)).toEqual(refused)
  for (const header of [{ kid: theirs.kid }, { kid: ours.kid }]) {
    expect(await use(auth, await ours.sign({ header }, theirs.key))).toEqual(refused)
  }
})

test('what is no access token is none: refresh tokens, ids, tokens in the query', async () => {
  await using auth = await startAuth()
  const { refreshToken, accessToken, user } = await auth.member('ann')
  for (const token of [refreshToken, user.id, `${accessToken}.`, `${accessToken}.x`, accessToken.toUpperCase()]) {
    expect(await use(auth, token)).toEqual(refused)
  }
  const inQuery = await auth.request('GET', `/v1/auth/sessions?access_token=${accessToken}`)
  expect(inQuery.status).toBe(401)
  expect((await auth.refresh(accessToken)).status).toBe(401)
})
