import { afterAll, beforeAll, expect, test } from 'bun:test'
import { messages } from '@conntext/db-communications'
import { authOutbox, sessions, streams, users } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { ObjectStoreFull } from '@conntext/object-store'
import postgres from 'postgres'
import {
  assertRestorable,
  newBackupIdentity,
  restoreBackup,
  type Secret,
  type VerifiedBackup,
  verifyBackup,
  writeBackup,
} from '../src/index.ts'
import { known, PASSPHRASE, startWorld, type World } from './world.ts'

let world: World
let secret: Secret
let recipient: string
let whole: Uint8Array

beforeAll(async () => {
  world = await startWorld()
  const pair = await newBackupIdentity()
  secret = { identities: [pair.identity] }
  recipient = pair.recipient
  for (let i = 0; i < 20; i += 1) await world.addMessage()
  await world.addObject(300_000)
  await world.addEvents(10)
  await writeBackup(world.source, world.order({ sealing: { recipients: [recipient] }, key: 'whole' }))
  whole = await bytesOf('whole')
}, 120_000)

afterAll(async () => world?.[Symbol.asyncDispose](), 60_000)

const bytesOf = async (key: string): Promise<Uint8Array> =>
  new Response((await world.target.get(key)).body as ReadableStream<Uint8Array<ArrayBuffer>>).bytes()
const streamOf = (bytes: Uint8Array) =>
  new Blob([bytes as Uint8Array<ArrayBuffer>]).stream() as ReadableStream<Uint8Array>
const verify = (bytes: Uint8Array, by = secret): Promise<VerifiedBackup> => verifyBackup(streamOf(bytes), by)
const namesIn = async () => (await world.target.list()).objects.map(({ key }) => key)

test('a backup that nobody touched is whole', async () => {
  const { manifest } = await verify(whole)
  expect(manifest.objects.count).toBe(1)
  expect(manifest.parts.find(({ name }) => name === 'postgres/communications/messages')).toMatchObject({ rows: 20 })
  expect(manifest.parts.find(({ name }) => name === 'clickhouse/events')).toMatchObject({ rows: 10 })
})

test('wherever a bit is flipped or the end is cut off, it is told', async () => {
  for (let i = 0; i < 24; i += 1) {
    const at = Math.floor((whole.length - 1) * (i / 23))
    const flipped = whole.slice()
    flipped[at]! ^= 1
    await expect(verify(flipped)).rejects.toThrow(/damaged|no backup|opens this backup/)
    await expect(verify(whole.slice(0, at))).rejects.toThrow(/damaged|no backup|not whole|end is missing/)
  }
}, 180_000)

test('the wrong passphrase, the wrong identity and what is no backup are told apart', async () => {
  await writeBackup(world.source, world.order({ key: 'passphrase' }))
  const sealed = await bytesOf('passphrase')
  expect((await verify(sealed, { passphrase: PASSPHRASE })).manifest.parts.length).toBeGreaterThan(10)
  await expect(verify(sealed, { passphrase: 'another one altogether' })).rejects.toThrow('The passphrase is wrong')
  const { identity } = await newBackupIdentity()
  await expect(verify(whole, { identities: [identity] })).rejects.toThrow('None of the identities opens this backup')
  await expect(verify(new Uint8Array(1_000), secret)).rejects.toThrow('no backup')
}, 180_000)

test('a backup that does not fit on the disk says so, and nothing of it is there', async () => {
  const full: World['target'] = {
    ...world.target,
    put: (key, body, options) =>
      world.target.put(key, (body as ReadableStream<Uint8Array>).pipeThrough(fullAfter(100_000)), options),
  }
  const making = writeBackup(
    world.source,
    world.order({ target: full, key: 'full', sealing: { recipients: [recipient] } }),
  )
  await expect(making).rejects.toThrow('no space left')
  expect(await namesIn()).not.toContain('full')
})

const fullAfter = (bytes: number) => {
  let left = bytes
  return new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      left -= chunk.length
      if (left < 0) throw new ObjectStoreFull()
      controller.enqueue(chunk)
    },
  })
}

test('one that is interrupted leaves nothing that looks whole', async () => {
  const stopping = new AbortController()
  const making = writeBackup(
    world.source,
    world.order({
      key: 'interrupted',
      signal: stopping.signal,
      sealing: { recipients: [recipient] },
      onSnapshots: async () => stopping.abort(new Error('stopping')),
    }),
  )
  await expect(making).rejects.toThrow('stopping')
  expect(await namesIn()).not.toContain('interrupted')
  expect(await world.target.sweepTemporary(0)).toBe(0)
})

test('a file that is missing is named, and the restored server knows it as lost', async () => {
  const { key } = await world.addObject(1_000)
  await world.objects.delete(key)
  const order = world.order({ key: 'missing', sealing: { recipients: [recipient] } })
  const { manifest } = await writeBackup(world.source, order)
  expect(manifest.missing).toEqual([key])
})

test('a backup of a newer release, and one that belongs to another master key, are refused', async () => {
  const verified = await verify(whole)
  const masterKeys = [new Uint8Array(32)]
  assertRestorable(verified, { known, masterKeys })
  const newer = structuredClone(verified)
  newer.snapshot.migrations.communications.push({ hash: 'of tomorrow', at: Date.now() })
  expect(() => assertRestorable(newer, { known, masterKeys })).toThrow('restore it with that release')
  const other = structuredClone(verified)
  other.snapshot.dataKeys = [{ service: 'auth', id: newId(), wrapped: Buffer.alloc(60, 1).toString('base64') }]
  expect(() => assertRestorable(other, { known, masterKeys })).toThrow('does not belong to this backup')
})

test('a restored server numbers on beyond what clients may have seen, owes again what may be lost, and ends logins', async () => {
  const userId = newId()
  const { auth } = world.details
  await auth.insert(users).values({ id: userId, username: userId, usernameKey: userId, usernameSkeleton: userId })
  const session = { id: newId(), userId, expiresAt: new Date(Date.now() + 1e9), metadata: new Uint8Array(1) }
  await auth.insert(sessions).values({ ...session, dataKeyId: newId() })
  await world.details.system.insert(streams).values({ name: 'server', lastSeq: 41 })
  const delivered = (ago: number) => ({
    id: newId(),
    topic: 'stream',
    payload: {},
    deliveredAt: new Date(Date.now() - ago).toISOString(),
  })
  const [old, late] = [delivered(600_000), delivered(-1)]
  await auth.insert(authOutbox).values([old, late])
  await writeBackup(world.source, world.order({ key: 'settled', sealing: { recipients: [recipient] } }))
  const sealed = await bytesOf('settled')
  const server = await world.emptyServer(await verify(sealed))
  await restoreBackup(streamOf(sealed), secret, server)
  const client = postgres(server.urls.serverDetails, { max: 1, onnotice: () => {} })
  try {
    const [stream] = await client`select last_seq::int as seq from streams where name = 'server'`
    expect(stream!.seq).toBeGreaterThan(900_000)
    const owed = await client`select id from auth_outbox where delivered_at is null`
    expect(owed.map(({ id }) => id)).toEqual([late.id])
    expect(await client`select id from sessions where revoked_at is null`).toHaveLength(0)
    const [next] =
      await client`insert into auth_outbox (id, topic, payload) values (${newId()}, 'x', '{}') returning position`
    expect(Number(next!.position)).toBeGreaterThan(2)
  } finally {
    await client.end()
  }
  expect((await world.communications.messaging.select().from(messages)).length).toBe(20)
}, 180_000)
