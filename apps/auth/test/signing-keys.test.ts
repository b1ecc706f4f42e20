import { expect, test } from 'bun:test'
import { dataKeys, signingKeys } from '@conntext/db-server-details'
import { TokenVerifier } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { testServerDetails } from '@conntext/testing'
import { decodeProtectedHeader } from 'jose'
import { AccessTokens, jsonWebKeySet } from '../src/keys/access-tokens.ts'
import { pruneSigningKeys, rotateSigningKey } from '../src/keys/signing-keys.ts'
import { testClock } from './stack.ts'

const MINUTE_MS = 60_000
const who = { userId: newId(), sessionId: newId() }

async function startSigning() {
  const database = await testServerDetails()
  const db = database.auth
  const clock = testClock()
  const options = { table: dataKeys, db, masterKey: new Uint8Array(32).fill(7), service: 'auth', log: silentLogger }
  const keyring = new Keyring(options)
  await keyring.load(db)
  const tokens = new AccessTokens({ db, keyring, clock, log: silentLogger })
  await tokens.load(db)
  const published = async () => (await jsonWebKeySet(db, clock.now())).keys.map(({ kid }) => kid)
  const sign = async () => {
    const { token } = await tokens.sign(who)
    return { token, kid: decodeProtectedHeader(token).kid }
  }
  return {
    db,
    clock,
    published,
    sign,
    verifier: () => new TokenVerifier(() => jsonWebKeySet(db, clock.now()), clock),
    rotate: () => db.transaction((tx) => rotateSigningKey(tx, keyring, clock.now())),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

test('a new signing key is published at once, signs when everybody can know it, and the old one goes', async () => {
  await using signing = await startSigning()
  const { kid: old } = await signing.sign()
  const { id: next, signsFrom } = await signing.rotate()
  expect(signsFrom).toEqual(new Date(signing.clock.now().getTime() + 5 * MINUTE_MS))
  expect(await signing.published()).toEqual([old!, next])
  signing.clock.advance(4 * MINUTE_MS)
  const last = await signing.sign()
  expect(last.kid).toBe(old)

  signing.clock.advance(2 * MINUTE_MS)
  expect((await signing.sign()).kid).toBe(next)
  // The last token of the old key is still good, and for as long as it is, its key is published.
  expect(await signing.published()).toEqual([old!, next])
  expect(await signing.verifier().verify(last.token)).toMatchObject({ sub: who.userId })
  signing.clock.advance(5 * MINUTE_MS)
  expect(await signing.published()).toEqual([next])

  await pruneSigningKeys(signing.db, signing.clock.now())
  expect(await signing.db.select().from(signingKeys)).toHaveLength(2)
  signing.clock.advance(5 * MINUTE_MS)
  await pruneSigningKeys(signing.db, signing.clock.now())
  expect((await signing.db.select().from(signingKeys)).map(({ id }) => id)).toEqual([next])
})

test('rotations that follow one another quickly leave the signing to the last, each in its time', async () => {
  await using signing = await startSigning()
  const { kid: first } = await signing.sign()
  const second = await signing.rotate()
  signing.clock.advance(3 * MINUTE_MS)
  const third = await signing.rotate()
  expect((await signing.sign()).kid).toBe(first)
  signing.clock.advance(2 * MINUTE_MS + 1)
  expect((await signing.sign()).kid).toBe(second.id)
  signing.clock.advance(3 * MINUTE_MS)
  expect((await signing.sign()).kid).toBe(third.id)
})

test('whoever verifies takes a new key up when a token names it', async () => {
  await using signing = await startSigning()
  const verifier = signing.verifier()
  const before = await signing.sign()
  expect(await verifier.verify(before.token)).toBeDefined()
  await signing.rotate()
  signing.clock.advance(6 * MINUTE_MS)
  expect(await verifier.verify((await signing.sign()).token)).toBeDefined()
})
