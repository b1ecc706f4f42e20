import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ObjectStore, openFilesystemStore } from '@conntext/object-store'
import { copyOut } from '../src/cli/backup/copy-out.ts'

const bytes = crypto.getRandomValues(new Uint8Array(60_000))
const made = { name: 'one.age', size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
let directory: string
let store: ObjectStore

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'conntext-copy-'))
  store = await openFilesystemStore(join(directory, 'backups'))
  await store.put(made.name, bytes)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

/** Each reading breaks after so many bytes more. */
const breaking = (...after: number[]): Pick<ObjectStore, 'get'> => ({
  async get(key, options) {
    const found = await store.get(key, options)
    const most = after.shift()
    if (most === undefined) return found
    const start = options?.range?.start ?? 0
    await found.body.cancel()
    let isGiven = false
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (isGiven) return controller.error(new Error('broken'))
        isGiven = true
        controller.enqueue(bytes.subarray(start, start + most))
      },
    })
    return { ...found, body }
  },
})

test('a copy whose connection breaks goes on where it was, and is whole', async () => {
  const to = join(directory, 'copy')
  await copyOut(breaking(10_000, 20_000), made, to)
  expect(Buffer.from(bytes).equals(await readFile(to))).toBe(true)
})

test('what is not the file that was made, or is not there, leaves nothing', async () => {
  const before = await readdir(directory)
  const to = join(directory, 'other')
  await expect(copyOut(store, { ...made, sha256: '0'.repeat(64) }, to)).rejects.toThrow('no longer what was made')
  await expect(copyOut(store, { ...made, name: 'none' }, to)).rejects.toThrow('No object')
  expect(await readdir(directory)).toEqual(before)
})
