import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'
import { verifyBackup } from '@conntext/backup'
import { type ObjectStore, ObjectStoreUnavailable, openFilesystemStore, openS3Store } from '@conntext/object-store'
import { eventually, objectStorage } from '@conntext/testing'
import { sql } from 'drizzle-orm'
import { makeWaiting } from '../src/backups/making.ts'
import { findBackup } from '../src/backups/queries.ts'
import { requestBackup } from '../src/backups/service.ts'
import type { Given } from './support/backup-process.ts'
import { type Backups, backupsOf, stuckBody } from './support/backups.ts'
import { type System, startSystem } from './support/system.ts'

const MINUTES = 120_000
const never = new AbortController().signal
const SCRIPT = fileURLToPath(new URL('support/backup-process.ts', import.meta.url))
const s3 = await objectStorage()

let system: System
let backups: Backups

beforeAll(async () => {
  system = await startSystem()
  backups = await backupsOf(system)
}, MINUTES)

afterAll(async () => {
  await backups?.[Symbol.asyncDispose]()
  await system?.[Symbol.asyncDispose]()
}, MINUTES)

const rowOf = async (id: string) => (await findBackup(system.databases.system, id))!
/** As if its maker had not been heard of for longer than is borne. */
const age = (id: string) =>
  system.databases.system.execute(sql`update backups set updated_at = now() - interval '61 seconds' where id = ${id}`)
const newOne = async () => (await requestBackup(backups.maker(), {})).id

test(
  'of several instances one makes it, whichever was asked',
  async () => {
    const id = await newOne()
    const made = await Promise.all([1, 2, 3].map(() => makeWaiting(backups.maker(), never)))
    expect(made.filter((one) => one)).toHaveLength(1)
    const { state, name } = await rowOf(id)
    expect(state).toBe('done')
    expect(await backups.filesIn()).toEqual([name])
    expect((await system.trail('backup.created')).map(({ target }) => target.id)).toEqual([id])
  },
  MINUTES,
)

test(
  'what is asked for beside the instances is heard by them',
  async () => {
    const heard: (string | undefined)[] = []
    const end = await system.databases.system.listen('system_work', (work) => heard.push(work))
    expect(heard).toEqual([undefined])
    const id = await newOne()
    await eventually(() => heard.includes('backups') || undefined)
    end()
    expect(await makeWaiting(backups.maker(), never)).toBe(true)
    expect((await rowOf(id)).state).toBe('done')
  },
  MINUTES,
)

test(
  'one whose maker stops in order is begun anew by another instance',
  async () => {
    const stuck = stuckBody(1_000)
    const key = await backups.nameObject()
    const info = { key, size: 1_001, etag: 'x', lastModified: new Date(), range: undefined, contentLength: 1_001 }
    const stopping = new AbortController()
    const id = await newOne()
    const objects = { get: async () => ({ ...info, body: stuck.body }) }
    const first = makeWaiting(backups.maker({ objects }), stopping.signal)
    await stuck.reached
    expect(await makeWaiting(backups.maker(), never)).toBe(false)
    stopping.abort(new Error('stopping'))
    stuck.release()
    await first
    expect((await rowOf(id)).state).toBe('waiting')
    expect(await makeWaiting(backups.maker(), never)).toBe(true)
    const { state, name } = await rowOf(id)
    expect(state).toBe('done')
    const { body } = await backups.target.get(name)
    expect((await verifyBackup(body, { identities: [backups.identity] })).header.id).toBe(id)
  },
  MINUTES,
)

test(
  'one whose maker was taken for gone, and was not, stays failed and leaves no file',
  async () => {
    const before = await backups.filesIn()
    const stuck = stuckBody(1_000)
    const key = await backups.nameObject()
    const info = { key, size: 1_000, etag: 'x', lastModified: new Date(), range: undefined, contentLength: 1_000 }
    const id = await newOne()
    const objects = { get: async () => ({ ...info, body: stuck.body }) }
    const slow = makeWaiting(backups.maker({ objects }), never)
    await stuck.reached
    await age(id)
    expect(await makeWaiting(backups.maker(), never)).toBe(false)
    expect((await rowOf(id)).state).toBe('failed')
    stuck.release()
    await slow
    expect((await rowOf(id)).state).toBe('failed')
    expect(await backups.filesIn()).toEqual(before)
  },
  MINUTES,
)

test(
  'one whose place is away fails at once, and says so',
  async () => {
    const away = async () => {
      throw new ObjectStoreUnavailable('The object store is not there')
    }
    const target = { ...backups.target, put: away, delete: away, sweepTemporary: away }
    const id = await newOne()
    expect(await makeWaiting(backups.maker({ target }), never)).toBe(true)
    expect(await rowOf(id)).toMatchObject({ state: 'failed', error: 'The object store is not there' })
  },
  MINUTES,
)

type Place = { target: Given['target']; open(): Promise<ObjectStore> }
const places: Record<string, () => Place> = {
  'a directory': () => {
    const target = `${backups.directory}/killed`
    return { target, open: () => openFilesystemStore(target) }
  },
  'a bucket': () => {
    const target = { ...s3!, bucket: `t-${crypto.randomUUID()}` }
    return { target, open: () => openS3Store(target) }
  },
}

describe.each(Object.keys(places))('with backups in %s,', (which) => {
  test.skipIf(which === 'a bucket' && !s3)(
    'one whose maker was killed is found failed, what it wrote is removed, and the next is made',
    async () => {
      const { target, open } = places[which]!()
      const store = await open()
      let swept = 0
      const sweepTemporary = async (ms: number) => {
        const count = await store.sweepTemporary(ms)
        swept += count
        return count
      }
      const instance = backups.maker({ target: { ...store, sweepTemporary } })
      await backups.nameObject()
      const id = await newOne()
      const given: Given = {
        serverDetailsUrl: system.databases.adminUrl,
        communicationsUrl: backups.communications.adminUrl,
        clickhouse: system.auditConnection,
        recipient: backups.recipient,
        target,
        // More than is held in memory on the way: parts of it are in the bucket.
        bytes: 40_000_000,
      }
      const child = Bun.spawn([process.execPath, SCRIPT], {
        stdin: new Blob([JSON.stringify(given)]),
        stdout: 'pipe',
        stderr: 'inherit',
      })
      const { value } = await child.stdout.getReader().read()
      expect(Buffer.from(value!).toString()).toContain('stuck')
      child.kill('SIGKILL')
      await child.exited
      expect((await rowOf(id)).state).toBe('running')
      expect(await makeWaiting(instance, never)).toBe(false)
      expect((await rowOf(id)).state).toBe('running')
      await age(id)
      expect(await makeWaiting(instance, never)).toBe(false)
      expect(await rowOf(id)).toMatchObject({ state: 'failed', error: expect.stringContaining('gone') })
      await eventually(async () => (await system.trail('backup.failed')).some(({ target: of }) => of.id === id))
      expect(swept).toBe(1)
      expect(await (await open()).sweepTemporary(0)).toBe(0)
      expect((await store.list()).objects).toEqual([])

      const next = await newOne()
      expect(await makeWaiting(instance, never)).toBe(true)
      const { state, name } = await rowOf(next)
      expect(state).toBe('done')
      expect((await store.list()).objects.map(({ key }) => key)).toEqual([name])
    },
    MINUTES,
  )
})
