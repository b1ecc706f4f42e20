import { describe, expect, test } from 'bun:test'
import { dataKeys, oidcProviders, sessions, totpSecrets, users } from '@conntext/db-server-details'
import { createLogger, newId, StartError, silentLogger, systemClock } from '@conntext/kernel'
import {
  countSealed,
  deleteUnusedKeys,
  Keyring,
  type KeyringOptions,
  opensDataKeys,
  reseal,
  rewrapDataKeys,
} from '@conntext/keyring'
import { testServerDetails } from '@conntext/testing'
import { eq, isNull, sql } from 'drizzle-orm'
import { AccessTokens } from '../src/keys/access-tokens.ts'
import { insertSigningKey } from '../src/keys/queries.ts'
import { authSealed } from '../src/keys/sealed.ts'
import { newSigningKey } from '../src/keys/signing-keys.ts'
import { totpContext } from '../src/mfa/codes.ts'
import { clientSecretContext } from '../src/oidc/providers.ts'
import { metadataContext } from '../src/sessions/service.ts'
import { createValidationTokens } from '../src/validation/tokens.ts'

const MASTER = new Uint8Array(32).fill(7)
const OTHER = new Uint8Array(32).fill(8)

async function startKeys() {
  const database = await testServerDetails()
  const db = database.auth
  const lines: string[] = []
  const log = createLogger({ service: 'test', level: 'warn', write: (line) => lines.push(line) })
  const options: KeyringOptions = { table: dataKeys, db, masterKey: MASTER, service: 'auth', log }
  const open = async (more: Partial<KeyringOptions> = {}) => {
    const keyring = new Keyring({ ...options, ...more })
    await keyring.load(db)
    return keyring
  }
  /** What `conntext keys rotate` does, by a keyring of its own. */
  const renew = async () => {
    const keyring = await open()
    const id = await db.transaction((tx) => keyring.renew(tx))
    await keyring.look()
    return { keyring, id }
  }
  return {
    db,
    lines,
    open,
    renew,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

type Keys = Awaited<ReturnType<typeof startKeys>>

async function insertSession({ db }: Keys, keyring: Keyring, plain: string): Promise<string> {
  const [userId, id] = [newId(), newId()]
  const name = `user-${userId}`
  await db.insert(users).values({ id: userId, username: name, usernameKey: name, usernameSkeleton: name })
  const { sealed: metadata, dataKeyId } = keyring.seal(plain, metadataContext(id))
  await db.insert(sessions).values({ id, userId, expiresAt: new Date(Date.now() + 60_000), metadata, dataKeyId })
  return id
}

async function readSession({ db }: Keys, keyring: Keyring, id: string) {
  const [row] = await db.select().from(sessions).where(eq(sessions.id, id))
  const plain = await keyring.open({ sealed: row!.metadata, dataKeyId: row!.dataKeyId }, metadataContext(id))
  return { plain: plain.toString(), dataKeyId: row!.dataKeyId }
}

describe('a key made elsewhere', () => {
  test('is looked for when a value sealed under it is met, once for all who ask at the same time', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const { keyring } = await keys.renew()
    const sealed = keyring.seal('hello', 'a place')
    let looks = 0
    const look = running.options.db.select.bind(running.options.db)
    running.options.db = new Proxy(running.options.db, {
      get(target, name) {
        if (name !== 'select') return Reflect.get(target, name)
        looks += 1
        return look
      },
    })
    const opened = await Promise.all(Array.from({ length: 20 }, () => running.open(sealed, 'a place')))
    expect(opened.map(String)).toEqual(Array(20).fill('hello'))
    expect(looks).toBe(1)
  })

  test('is taken into use by who looks; what was sealed before can still be opened', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const before = running.seal('old', 'a place')
    const { id } = await keys.renew()
    await running.look()
    const after = running.seal('new', 'a place')
    expect(after.dataKeyId).toBe(id)
    expect(after.dataKeyId).not.toBe(before.dataKeyId)
    expect(String(await running.open(before, 'a place'))).toBe('old')
    expect(String(await running.open(after, 'a place'))).toBe('new')
  })

  test('that the master key does not open is told once, and stops nothing', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const before = running.seal('old', 'a place')
    await keys.db.transaction((tx) =>
      rewrapDataKeys(tx, { table: dataKeys, service: 'auth' }, { from: [MASTER], to: OTHER }),
    )
    const elsewhere = await keys.open({ masterKey: OTHER })
    const id = await keys.db.transaction((tx) => elsewhere.renew(tx))
    await elsewhere.look()
    const foreign = elsewhere.seal('new', 'a place')
    await running.look()
    await running.look()
    expect(keys.lines.filter((line) => line.includes(id) && line.includes('master key'))).toHaveLength(1)
    expect(String(await running.open(before, 'a place'))).toBe('old')
    expect(String(await running.open(running.seal('still', 'a place'), 'a place'))).toBe('still')
    await expect(running.open(foreign, 'a place')).rejects.toThrow(/no data key/)
  })

  test('is opened by a server that looks for the master key again', async () => {
    await using keys = await startKeys()
    let inForce = [MASTER]
    const running = await keys.open({ masterKey: () => inForce })
    await keys.db.transaction((tx) =>
      rewrapDataKeys(tx, { table: dataKeys, service: 'auth' }, { from: [MASTER], to: OTHER }),
    )
    inForce = [MASTER, OTHER]
    const elsewhere = await keys.open({ masterKey: OTHER })
    await keys.db.transaction((tx) => elsewhere.renew(tx))
    await elsewhere.look()
    expect(String(await running.open(elsewhere.seal('new', 'a place'), 'a place'))).toBe('new')
    // And what it makes itself is wrapped under the one in force, not the first at hand.
    await keys.db.transaction((tx) => running.renew(tx))
    expect(await opensDataKeys(keys.db, { table: dataKeys, service: 'auth' }, OTHER)).toBe(true)
  })
})

test('who could not look for keys in an hour seals nothing, until they can', async () => {
  await using keys = await startKeys()
  let now = 1_000_000
  const running = await keys.open({ now: () => now })
  now += 59 * 60_000
  running.seal('fine', 'a place')
  now += 2 * 60_000
  expect(() => running.seal('too late', 'a place')).toThrow(expect.objectContaining({ code: 'keyring.stale' }))
  await running.look()
  running.seal('fine again', 'a place')
})

test('a start with another master key is refused, and makes no keys', async () => {
  await using keys = await startKeys()
  await keys.open()
  await expect(keys.open({ masterKey: OTHER })).rejects.toThrow(StartError)
  expect(await keys.db.select().from(dataKeys)).toHaveLength(2)
})

describe('sealing anew', () => {
  test('takes every value, in batches, to the new key; null stays null', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const ids: string[] = []
    for (let i = 0; i < 450; i += 1) ids.push(await insertSession(keys, running, `value ${i}`))
    const { keyring, id } = await keys.renew()
    expect(await reseal(keys.db, keyring, id, authSealed)).toEqual({ values: 450, unreadable: 0 })
    for (const [i, session] of ids.entries()) {
      expect(await readSession(keys, running, session)).toEqual({ plain: `value ${i}`, dataKeyId: id })
    }
    expect([...(await countSealed(keys.db, authSealed))]).toEqual([[id, 450]])
  })

  test('reaches every place that something is sealed in, for what it was sealed there', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const session = await insertSession(keys, running, 'metadata')
    const [{ userId } = { userId: '' }] = await keys.db.select().from(sessions)
    const validation = createValidationTokens({ db: keys.db, clock: systemClock, keyring: running })
    const issue = (data?: object) =>
      validation.issue(keys.db, { purpose: 'mfaLogin', lifetimeMs: 60_000, userId, ...(data && { data }) })
    const [token, bare] = [await issue({ methods: ['pwd'] }), await issue()]
    const totp = running.seal('a secret', totpContext(userId))
    await keys.db.insert(totpSecrets).values({ userId, secret: totp.sealed, dataKeyId: totp.dataKeyId })
    const provider = { name: 'A provider', issuer: 'https://example.org', clientId: 'us', scopes: [] }
    const client = running.seal('a client secret', clientSecretContext('one'))
    await keys.db.insert(oidcProviders).values([
      { id: 'one', ...provider, clientSecret: client.sealed, dataKeyId: client.dataKeyId },
      { id: 'two', ...provider },
    ])
    await insertSigningKey(keys.db, await newSigningKey(running, new Date()))

    const { keyring, id } = await keys.renew()
    expect(await reseal(keys.db, keyring, id, authSealed)).toEqual({ values: 5, unreadable: 0 })
    expect([...(await countSealed(keys.db, authSealed))]).toEqual([[id, 5]])
    expect((await readSession(keys, running, session)).plain).toBe('metadata')
    expect(await validation.take(keys.db, 'mfaLogin', token)).toMatchObject({ data: { methods: ['pwd'] } })
    expect(await validation.take(keys.db, 'mfaLogin', bare)).toMatchObject({ userId, data: {} })
    const [secret] = await keys.db.select().from(totpSecrets)
    const opened = running.open({ sealed: secret!.secret, dataKeyId: id }, totpContext(userId))
    expect(String(await opened)).toBe('a secret')
    const [one] = await keys.db.select().from(oidcProviders).where(eq(oidcProviders.id, 'one'))
    const shown = running.open({ sealed: one!.clientSecret!, dataKeyId: id }, clientSecretContext('one'))
    expect(String(await shown)).toBe('a client secret')
    const tokens = new AccessTokens({ db: keys.db, keyring: running, clock: systemClock, log: silentLogger })
    await tokens.load(keys.db)
    expect((await tokens.sign({ userId, sessionId: session })).token).toBeString()
  })

  test('never overwrites who writes at the same time', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => insertSession(keys, running, `${i}`)))
    const written = new Map<string, string>()
    let writing = true
    const write = async () => {
      for (let round = 0; writing; round += 1) {
        const id = ids[round % ids.length]!
        const plain = `round ${round}`
        const { sealed: metadata, dataKeyId } = running.seal(plain, metadataContext(id))
        await keys.db.update(sessions).set({ metadata, dataKeyId }).where(eq(sessions.id, id))
        written.set(id, plain)
      }
    }
    const writer = write()
    const { keyring, id: newest } = await keys.renew()
    for (let round = 0; round < 5; round += 1) await reseal(keys.db, keyring, newest, authSealed)
    writing = false
    await writer
    for (const [id, plain] of written) expect((await readSession(keys, running, id)).plain).toBe(plain)
    expect(written.size).toBeGreaterThan(5)
  })

  test('leaves what it cannot open as it is, and says so', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const good = await insertSession(keys, running, 'good')
    const bad = await insertSession(keys, running, 'bad')
    const broken = running.seal('bad', 'another place')
    await keys.db.update(sessions).set({ metadata: broken.sealed }).where(eq(sessions.id, bad))
    const { keyring, id } = await keys.renew()
    expect(await reseal(keys.db, keyring, id, authSealed)).toEqual({ values: 1, unreadable: 1 })
    expect((await readSession(keys, keyring, good)).dataKeyId).toBe(id)
    const [row] = await keys.db.select().from(sessions).where(eq(sessions.id, bad))
    expect(Buffer.from(row!.metadata).equals(broken.sealed)).toBe(true)
  })
})

describe('retired keys', () => {
  const age = (keys: Keys) =>
    keys.db.update(dataKeys).set({ retiredAt: sql`${dataKeys.retiredAt} - interval '25 hours'` })

  test('survive a day, for whoever still seals under them; then they go', async () => {
    await using keys = await startKeys()
    await keys.open()
    const { keyring } = await keys.renew()
    expect(await deleteUnusedKeys(keys.db, keyring, authSealed)).toBe(0)
    await age(keys)
    expect(await deleteUnusedKeys(keys.db, keyring, authSealed)).toBe(1)
    const left = await keys.db.select().from(dataKeys)
    expect(left.map(({ purpose }) => purpose).sort()).toEqual(['hash', 'seal'])
    expect(await keys.db.select().from(dataKeys).where(isNull(dataKeys.retiredAt))).toHaveLength(2)
  })

  test('survive as long as a value needs them', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const id = await insertSession(keys, running, 'still here')
    const { keyring } = await keys.renew()
    await age(keys)
    expect(await deleteUnusedKeys(keys.db, keyring, authSealed)).toBe(0)
    expect((await readSession(keys, keyring, id)).plain).toBe('still here')
  })

  test('survive as long as a row of the outbox needs them', async () => {
    await using keys = await startKeys()
    const running = await keys.open()
    const { dataKeyId, sealed } = running.seal('an address', 'an event')
    const payload = { event: {}, dataKeyId, origin: Buffer.from(sealed).toString('base64') }
    await keys.db.execute(
      sql`insert into auth_outbox (id, topic, payload) values (${newId()}::uuid, 'audit', ${JSON.stringify(payload)}::text::jsonb)`,
    )
    const { keyring } = await keys.renew()
    await age(keys)
    expect(await deleteUnusedKeys(keys.db, keyring, authSealed)).toBe(0)
    await keys.db.execute(sql`delete from auth_outbox`)
    expect(await deleteUnusedKeys(keys.db, keyring, authSealed)).toBe(1)
  })
})

test('another master key wraps the same keys: hashes and sealed values stay as they are', async () => {
  await using keys = await startKeys()
  const running = await keys.open()
  const sealed = running.seal('hello', 'a place')
  const hash = running.hasher('a purpose')('text')
  const service = { table: dataKeys, service: 'auth' }
  await keys.db.transaction((tx) => rewrapDataKeys(tx, service, { from: [MASTER], to: OTHER }))
  expect(await opensDataKeys(keys.db, service, MASTER)).toBe(false)
  expect(await opensDataKeys(keys.db, service, OTHER)).toBe(true)
  const again = await keys.open({ masterKey: OTHER })
  expect(String(await again.open(sealed, 'a place'))).toBe('hello')
  expect(Buffer.from(again.hasher('a purpose')('text')).equals(hash)).toBe(true)
  await expect(keys.open()).rejects.toThrow(StartError)
})
