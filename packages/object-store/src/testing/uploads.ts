import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { ObjectNotFound, ObjectTooLarge, WrongOffset } from '../errors.ts'
import type { ObjectStore, PendingUpload, UploadAddress } from '../object-store.ts'
import { streamOf } from './bodies.ts'

/** Larger than a part of a multipart upload has to be, so that both kinds of remainders occur. */
const MIB = 2 ** 20

const newKey = () => `u/${crypto.randomUUID()}`
const bytesOf = async (body: ReadableStream<Uint8Array>) => new Uint8Array(await new Response(body).arrayBuffer())
const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')

async function begin(store: ObjectStore, key = newKey()): Promise<UploadAddress> {
  return { key, handle: await store.beginUpload(key) }
}

async function addressesOf(store: ObjectStore): Promise<UploadAddress[]> {
  const found: UploadAddress[] = []
  for await (const { key, handle, lastModified } of store.listUploads()) {
    expect(Math.abs(Date.now() - lastModified.getTime())).toBeLessThan(120_000)
    found.push({ key, handle })
  }
  return found
}

/** What holds of uploads that arrive in parts; `reopen` makes another store over the same place, as a restart does. */
export function uploadContract(place: () => { store: ObjectStore; reopen(): Promise<ObjectStore> }): void {
  const store = () => place().store

  test.each([0, 1, 100_000, 5 * MIB, 12 * MIB + 1])('an upload of %p bytes in parts of any size', async (size) => {
    const content = await bytesOf(streamOf(size))
    const address = await begin(store())
    let at = 0
    for (const part of [1, 70_000, 6 * MIB, 3, 5 * MIB, 20 * MIB]) {
      const piece = content.subarray(at, at + part)
      if (piece.length === 0) break
      const again = await place().reopen()
      at = await again.openUpload(address).append(new Blob([piece]).stream(), { at })
      expect(await store().openUpload(address).offset()).toBe(at)
      await expect(store().head(address.key)).rejects.toThrow(ObjectNotFound)
    }
    expect(at).toBe(size)
    const stored = await store().openUpload(address).complete()
    expect(stored).toEqual({ size, sha256: sha256(content), etag: (await store().head(address.key)).etag })
    expect(sha256(await bytesOf((await store().get(address.key)).body))).toBe(stored.sha256)
    expect(await addressesOf(store())).not.toContainEqual(address)
  })

  test('completing may be repeated, and so may asking where a complete one stands', async () => {
    const address = await begin(store())
    await store().openUpload(address).append(streamOf(1000), { at: 0 })
    const first = await store().openUpload(address).complete()
    expect(await store().openUpload(address).complete()).toEqual(first)
    expect(await store().openUpload(address).offset()).toBe(1000)
    await store().openUpload(address).abort()
    expect((await store().head(address.key)).size).toBe(1000)
  })

  test('keeps what arrived before the source failed, the client left, or there was too much', async () => {
    const content = await bytesOf(streamOf(9 * MIB))
    const address = await begin(store())
    const upload = store().openUpload(address)
    const broken = streamOf(9 * MIB, { failAfter: 7 * MIB })
    await expect(upload.append(broken, { at: 0 })).rejects.toThrow('the source failed')
    expect(await upload.offset()).toBe(7 * MIB)
    const abort = new AbortController()
    let pulls = 0
    const silent = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulls += 1
          if (pulls === 1) controller.enqueue(content.slice(7 * MIB, 7 * MIB + 10))
          // The first bytes have been taken when more are asked for.
          else abort.abort(new Error('the client left'))
        },
      },
      { highWaterMark: 0 },
    )
    const appended = upload.append(silent, { at: 7 * MIB, signal: abort.signal })
    await expect(appended).rejects.toThrow('the client left')
    expect(await upload.offset()).toBe(7 * MIB + 10)
    const rest = content.slice(7 * MIB + 10)
    await expect(upload.append(rest, { at: 7 * MIB + 10, maxBytes: 20 })).rejects.toThrow(ObjectTooLarge)
    expect(await upload.offset()).toBe(7 * MIB + 30)
    await upload.append(rest.subarray(20), { at: 7 * MIB + 30 })
    expect((await upload.complete()).sha256).toBe(sha256(content))
  })

  test('takes bytes only where they belong', async () => {
    const address = await begin(store())
    const upload = store().openUpload(address)
    await upload.append(new Uint8Array(10), { at: 0 })
    for (const at of [0, 9, 11]) {
      const failure = await upload.append(new Uint8Array(5), { at }).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(WrongOffset)
      expect((failure as WrongOffset).offset).toBe(10)
    }
    expect(await upload.offset()).toBe(10)
  })

  test('is listed until it is given up, and then is gone', async () => {
    const [kept, dropped] = [await begin(store()), await begin(store())]
    await store()
      .openUpload(dropped)
      .append(streamOf(6 * MIB), { at: 0 })
    expect(await addressesOf(store())).toEqual(expect.arrayContaining([kept, dropped]))
    for (const _ of [1, 2]) await store().openUpload(dropped).abort()
    expect(await addressesOf(store())).not.toContainEqual(dropped)
    expect(await addressesOf(store())).toContainEqual(kept)
    const gone: ((upload: PendingUpload) => Promise<unknown>)[] = [
      (upload) => upload.offset(),
      (upload) => upload.append(new Uint8Array(1), { at: 0 }),
      (upload) => upload.complete(),
    ]
    for (const address of [dropped, { key: newKey(), handle: 'nothing/../../like a handle' }]) {
      for (const use of gone) await expect(use(store().openUpload(address))).rejects.toThrow(ObjectNotFound)
    }
  })

  test('two of one key know nothing of each other; the one that is completed last counts', async () => {
    const key = newKey()
    const [one, other] = [await begin(store(), key), await begin(store(), key)]
    await store().openUpload(one).append(new TextEncoder().encode('one'), { at: 0 })
    await store().openUpload(other).append(new TextEncoder().encode('another'), { at: 0 })
    await store().openUpload(one).complete()
    await store().openUpload(other).complete()
    expect(await new Response((await store().get(key)).body).text()).toBe('another')
  })
}
