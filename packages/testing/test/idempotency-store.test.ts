import { describe, expect, test } from 'bun:test'
import { idempotencyStore, idempotencyTable, type StoreOptions } from '@conntext/idempotency'
import { silentLogger } from '@conntext/kernel'
import { eq, sql } from 'drizzle-orm'
import { testServerDetails } from '../src/index.ts'

const table = idempotencyTable('auth_idempotency_keys')
const bytes = (text: string) => Buffer.from(text)
const key = (id = 'key', request = 'request') => ({ id: bytes(id), request: bytes(request) })

async function start(options: Partial<StoreOptions> = {}) {
  const databases = await testServerDetails()
  const db = databases.auth
  const store = idempotencyStore({ db, table, log: silentLogger, ...options })
  return {
    db,
    store,
    async claim(of = key()) {
      const claimed = await store.claim(of)
      if (claimed.state !== 'claimed') throw new Error(`expected to claim it, got ${claimed.state}`)
      return claimed.claim
    },
    /** Makes a time of the row lie in the past. */
    async age(column: 'claimed_until' | 'expires_at', of = key()) {
      await db
        .update(table)
        .set({ [column === 'claimed_until' ? 'claimedUntil' : 'expiresAt']: sql`now() - interval '1 second'` })
        .where(eq(table.id, of.id))
    },
    [Symbol.asyncDispose]: () => databases[Symbol.asyncDispose](),
  }
}

describe('a key', () => {
  test('goes to exactly one of many requests at once', async () => {
    await using it = await start()
    const claims = await Promise.all(Array.from({ length: 20 }, () => it.store.claim(key())))
    expect(claims.filter((one) => one.state === 'claimed')).toHaveLength(1)
    expect(claims.filter((one) => one.state === 'underWay')).toHaveLength(19)
  })

  test('answers what was kept, byte for byte, also to another instance', async () => {
    await using it = await start()
    const answer = new Uint8Array([0, 255, 10, 13, 0])
    await it.store.keep(key(), await it.claim(), { status: 201, answer })
    const other = idempotencyStore({ db: it.db, table, log: silentLogger })
    const again = await other.claim(key())
    expect(again).toMatchObject({ state: 'answered', status: 201 })
    expect(Buffer.from((again as { answer: Uint8Array }).answer)).toEqual(Buffer.from(answer))
  })

  test('of another request is a mismatch, whether the first is under way or answered', async () => {
    await using it = await start()
    const claim = await it.claim()
    expect(await it.store.claim(key('key', 'another'))).toEqual({ state: 'mismatch' })
    await it.store.keep(key(), claim, { status: 201, answer: bytes('x') })
    expect(await it.store.claim(key('key', 'another'))).toEqual({ state: 'mismatch' })
    expect(await it.claim(key('another key', 'another'))).toBeString()
  })

  test('that was released is free, for any request', async () => {
    await using it = await start()
    await it.store.release(key(), await it.claim())
    expect(await it.claim(key('key', 'another'))).toBeString()
  })

  test('whose holder died is free for the same request once the claim has lapsed, and not for another', async () => {
    await using it = await start()
    await it.claim()
    await it.age('claimed_until')
    expect(await it.store.claim(key('key', 'another'))).toEqual({ state: 'mismatch' })
    expect(await it.claim()).toBeString()
  })

  test('that has lapsed is taken over by exactly one', async () => {
    await using it = await start()
    await it.claim()
    await it.age('claimed_until')
    const claims = await Promise.all(Array.from({ length: 20 }, () => it.store.claim(key())))
    expect(claims.filter((one) => one.state === 'claimed')).toHaveLength(1)
  })

  test('that was taken over can be neither answered nor released by whoever had it before', async () => {
    await using it = await start()
    const late = await it.claim()
    await it.age('claimed_until')
    const claim = await it.claim()
    await it.store.keep(key(), late, { status: 201, answer: bytes('late') })
    await it.store.release(key(), late)
    expect((await it.store.claim(key())).state).toBe('underWay')
    await it.store.keep(key(), claim, { status: 200, answer: bytes('on time') })
    expect(await it.store.claim(key())).toMatchObject({ state: 'answered', status: 200 })
  })

  test('with an answer never lapses, but expires, and then is free for any request', async () => {
    await using it = await start()
    await it.store.keep(key(), await it.claim(), { status: 201, answer: bytes('x') })
    await it.age('claimed_until')
    expect((await it.store.claim(key())).state).toBe('answered')
    await it.age('expires_at')
    expect(await it.claim(key('key', 'another'))).toBeString()
    expect((await it.store.claim(key('key', 'another'))).state).toBe('underWay')
  })

  test('that has expired is removed, and others stay', async () => {
    await using it = await start()
    await it.claim(key('old'))
    await it.claim(key('young'))
    await it.age('expires_at', key('old'))
    const restarted = idempotencyStore({ db: it.db, table, log: silentLogger })
    await restarted.claim(key('new'))
    const rows = await it.db.select({ id: table.id }).from(table)
    expect(rows.map((row) => Buffer.from(row.id).toString()).sort()).toEqual(['new', 'young'])
  })
})
