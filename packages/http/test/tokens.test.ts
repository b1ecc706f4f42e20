import { beforeAll, describe, expect, test } from 'bun:test'
import type { JsonWebKeySet } from '@conntext/contracts'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose'
import { TokenVerifier } from '../src/index.ts'
import { testClock } from './support/clock.ts'

type Pair = Awaited<ReturnType<typeof generateKeyPair>>
let known: Pair
let stranger: Pair

beforeAll(async () => {
  known = await generateKeyPair('Ed25519', { extractable: true })
  stranger = await generateKeyPair('Ed25519', { extractable: true })
})

async function publish(keys: Record<string, Pair>): Promise<JsonWebKeySet> {
  const list = Object.entries(keys).map(async ([kid, { publicKey }]) => {
    const { x } = await exportJWK(publicKey)
    return { kty: 'OKP', crv: 'Ed25519', x: x!, kid, alg: 'EdDSA', use: 'sig' } as const
  })
  return { keys: await Promise.all(list) }
}

/** A verifier that knows one key, and how often it asked for keys. */
function start() {
  const clock = testClock()
  const it = { fetches: 0, keys: { one: known } as Record<string, Pair>, clock, away: false }
  const verifier = new TokenVerifier(async () => {
    it.fetches += 1
    if (it.away) throw new Error('away')
    return publish(it.keys)
  }, clock)
  return Object.assign(it, { verifier, verify: (token: string) => verifier.verify(token) })
}

type It = ReturnType<typeof start>
type Forging = {
  pair?: Pair
  header?: Record<string, unknown>
  claims?: Record<string, unknown>
  seconds?: number
}

function sign(it: It, { pair = known, header = {}, claims = {}, seconds = 300 }: Forging = {}): Promise<string> {
  const now = Math.floor(it.clock.now().getTime() / 1000)
  const payload = {
    sub: 'user',
    sid: 'session',
    iss: 'conntext',
    aud: 'conntext',
    iat: now,
    exp: now + seconds,
    ...claims,
  }
  return new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', kid: 'one', ...header }).sign(pair.privateKey)
}

test('a good token tells its claims; the keys are fetched once', async () => {
  const it = start()
  expect(await it.verify(await sign(it))).toMatchObject({ sub: 'user', sid: 'session' })
  expect(await it.verify(await sign(it, { claims: { sub: 'another' } }))).toMatchObject({ sub: 'another' })
  expect(it.fetches).toBe(1)
})

describe('refused is', () => {
  test.each<[string, Forging]>([
    ['one that has expired', { seconds: -1 }],
    ['one that expires right now', { seconds: 0 }],
    ['one without an expiry', { claims: { exp: undefined } }],
    ['one without a session', { claims: { sid: undefined } }],
    ['one without a user', { claims: { sub: undefined } }],
    ['one of another issuer', { claims: { iss: 'somebody' } }],
    ['one for another audience', { claims: { aud: 'somebody' } }],
    ['one that is not valid yet', { claims: { nbf: 4_000_000_000 } }],
  ])('%s', async (_, forging) => {
    const it = start()
    expect(await it.verify(await sign(it, forging))).toBeUndefined()
  })

  test('one that a stranger signed under a known name', async () => {
    const it = start()
    expect(await it.verify(await sign(it, { pair: stranger }))).toBeUndefined()
  })

  test('one whose claims or signature were changed', async () => {
    const it = start()
    const [header, payload, signature] = (await sign(it)).split('.') as [string, string, string]
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: 'admin' })).toString('base64url')
    expect(await it.verify(`${header}.${forged}.${signature}`)).toBeUndefined()
    const flipped = (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)
    expect(await it.verify(`${header}.${payload}.${flipped}`)).toBeUndefined()
  })

  test('one that nobody signed', async () => {
    const it = start()
    const claims = { sub: 'user', sid: 'session', iss: 'conntext', aud: 'conntext', exp: 4_000_000_000 }
    expect(await it.verify(new UnsecuredJWT(claims).encode())).toBeUndefined()
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'one' })).toString('base64url')
    const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
    expect(await it.verify(`${none}.${payload}.`)).toBeUndefined()
  })

  test('one signed with the public key as if it were a shared secret', async () => {
    const it = start()
    const { x } = await exportJWK(known.publicKey)
    const secrets = [x!, await exportSPKI(known.publicKey), Buffer.from(x!, 'base64url')]
    for (const secret of secrets) {
      const now = Math.floor(it.clock.now().getTime() / 1000)
      const claims = { sub: 'user', sid: 'session', iss: 'conntext', aud: 'conntext', exp: now + 300 }
      const signer = new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'one' })
      const token = await signer.sign(typeof secret === 'string' ? new TextEncoder().encode(secret) : secret)
      expect(await it.verify(token)).toBeUndefined()
    }
  })

  test.each(['', '.', '..', 'a.b.c', 'e30.e30.', 'x'.repeat(10_000), '\u0000'])(
    'text that is no token (%#)',
    async (text) => {
      const it = start()
      expect(await it.verify(text)).toBeUndefined()
    },
  )
})

describe('an unknown key', () => {
  test('is looked for once, and then known', async () => {
    const it = start()
    await it.verify(await sign(it))
    it.keys = { ...it.keys, two: stranger }
    it.clock.advance(60_000)
    const token = await sign(it, { pair: stranger, header: { kid: 'two' } })
    expect(await it.verify(token)).toMatchObject({ sub: 'user' })
    expect(it.fetches).toBe(2)
  })

  test('that nobody has is looked for once by however many at once', async () => {
    const it = start()
    await it.verify(await sign(it))
    it.clock.advance(60_000)
    const tokens = await Promise.all(
      Array.from({ length: 50 }, (_, i) => sign(it, { pair: stranger, header: { kid: `made up ${i}` } })),
    )
    expect(await Promise.all(tokens.map(it.verify))).toEqual(tokens.map(() => undefined))
    expect(it.fetches).toBe(2)
  })

  test('made up anew with every request does not make the keys be fetched with every request', async () => {
    const it = start()
    await it.verify(await sign(it))
    for (let i = 0; i < 20; i += 1) {
      it.clock.advance(100)
      await it.verify(await sign(it, { pair: stranger, header: { kid: `made up ${i}` } }))
    }
    // Two seconds: no more than one look a second.
    expect(it.fetches).toBeLessThanOrEqual(4)
    expect(await it.verify(await sign(it))).toBeDefined()
  })
})

test('keys that cannot be had are a failure, not a bad token, and are asked for again', async () => {
  const it = start()
  it.away = true
  const token = await sign(it)
  await expect(it.verify(token)).rejects.toThrow('away')
  it.away = false
  expect(await it.verify(token)).toBeDefined()
})

describe('a key that is withdrawn', () => {
  test('is forgotten within minutes, though no token names a new one', async () => {
    const it = start()
    expect(await it.verify(await sign(it))).toBeDefined()
    it.keys = { two: stranger }
    it.clock.advance(4 * 60_000)
    expect(await it.verify(await sign(it))).toBeDefined()
    it.clock.advance(60_000)
    expect(await it.verify(await sign(it))).toBeUndefined()
    expect(it.fetches).toBe(2)
  })

  test('cannot be told from one that is there while keys cannot be had: what is known goes on, and is asked for again', async () => {
    const it = start()
    await it.verify(await sign(it))
    it.clock.advance(5 * 60_000)
    it.away = true
    for (let i = 0; i < 10; i += 1) expect(await it.verify(await sign(it, { claims: { jti: `${i}` } }))).toBeDefined()
    expect(it.fetches).toBe(2)
    it.away = false
    it.keys = { two: stranger }
    it.clock.advance(1_000)
    expect(await it.verify(await sign(it))).toBeUndefined()
  })
})

test('a remembered token still expires', async () => {
  const it = start()
  const token = await sign(it, { seconds: 10 })
  expect(await it.verify(token)).toBeDefined()
  it.clock.advance(9_999)
  expect(await it.verify(token)).toBeDefined()
  it.clock.advance(1)
  expect(await it.verify(token)).toBeUndefined()
  expect(await it.verify(token)).toBeUndefined()
})

test('a remembered token is not verified again, and only so many are remembered', async () => {
  const it = start()
  const verifier = new TokenVerifier(() => publish({ one: known }), it.clock, { remembered: 2 })
  const tokens = await Promise.all(['a', 'b', 'c'].map((sub) => sign(it, { claims: { sub } })))
  const claims = []
  for (const token of tokens) claims.push(await verifier.verify(token))
  // Remembered claims are the same object; those of a forgotten token are made anew.
  expect(await verifier.verify(tokens[2]!)).toBe(claims[2])
  expect(await verifier.verify(tokens[1]!)).toBe(claims[1])
  const again = await verifier.verify(tokens[0]!)
  expect(again).toEqual(claims[0]!)
  expect(again).not.toBe(claims[0])
})

describe('after the clock was set back by a day', () => {
  const DAY_MS = 86_400_000

  test('a key that is new since then is looked for all the same', async () => {
    const it = start()
    expect(await it.verify(await sign(it))).toBeDefined()
    it.clock.advance(-DAY_MS)
    const another = await generateKeyPair('Ed25519', { extractable: true })
    it.keys.two = another
    expect(await it.verify(await sign(it, { pair: another, header: { kid: 'two' } }))).toBeDefined()
  })

  test('a token from before lives for no day: its session would have been forgotten to have ended', async () => {
    const it = start()
    const [remembered, unseen] = [await sign(it), await sign(it, { claims: { sub: 'another' } })]
    expect(await it.verify(remembered)).toBeDefined()
    it.clock.advance(-DAY_MS)
    expect(await it.verify(remembered)).toBeUndefined()
    expect(await it.verify(unseen)).toBeUndefined()
    expect(await it.verify(await sign(it))).toBeDefined()
  })
})
