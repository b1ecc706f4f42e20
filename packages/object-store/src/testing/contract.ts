import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { InvalidKey, ObjectNotFound, ObjectTooLarge, RangeNotSatisfiable } from '../errors.ts'
import type { ObjectStore } from '../object-store.ts'
import { streamOf } from './bodies.ts'
import { uploadContract } from './uploads.ts'

export interface StoreUnderTest extends AsyncDisposable {
  /** Empty. */
  store: ObjectStore
  /** How many `put`s have left something unfinished. */
  countTemporary(): Promise<number>
  /** Another store over the same place, as a restart makes it. */
  reopen(): Promise<ObjectStore>
}

const bytes = (text: string) => new TextEncoder().encode(text)
const sha256 = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
const newKey = () => `t/${crypto.randomUUID()}`

async function text(store: ObjectStore, key: string, range?: { start: number; end?: number }) {
  const { body } = await store.get(key, range ? { range } : {})
  return new Response(body).text()
}

/** What every object store must do; call it at the top of a test file. */
export function objectStoreContract(name: string, makeStore: () => Promise<StoreUnderTest>): void {
  describe(`${name}, as an object store,`, () => {
    let place: StoreUnderTest
    let store: ObjectStore
    beforeAll(async () => {
      place = await makeStore()
      store = place.store
    })
    afterAll(() => place[Symbol.asyncDispose]())

    writing(() => place)
    reading(() => store)
    keys(() => store)
    listing(makeStore)
    uploadContract(() => place)

    test('passes its own check and leaves nothing', async () => {
      const before = await store.list()
      await store.check()
      expect(await store.list()).toEqual(before)
      expect(await place.countTemporary()).toBe(0)
    })
  })
}

function writing(place: () => StoreUnderTest): void {
  const store = () => place().store

  test.each([0, 1, 65_536, 3_000_000, 8 * 2 ** 20, 20_000_000])(
    'stores %p bytes as they are, from a stream and from memory',
    async (size) => {
      const content = new Uint8Array(await new Response(streamOf(size)).arrayBuffer())
      for (const body of [streamOf(size), content]) {
        const key = newKey()
        const stored = await store().put(key, body)
        expect(stored).toMatchObject({ size, sha256: sha256(content) })
        const object = await store().get(key)
        expect(object).toMatchObject({ key, size, contentLength: size, etag: stored.etag })
        expect(sha256(new Uint8Array(await new Response(object.body).arrayBuffer()))).toBe(stored.sha256)
        const { body: _, range: __, contentLength: ___, ...info } = object
        expect(await store().head(key)).toEqual(info)
      }
    },
  )

  test('replaces an object whole, with another etag', async () => {
    const key = newKey()
    const first = await store().put(key, bytes('the first, longer content'))
    const second = await store().put(key, bytes('second'))
    expect(second.etag).not.toBe(first.etag)
    expect(await text(store(), key)).toBe('second')
  })

  test('keeps the old object, and nothing else, when the source fails', async () => {
    const key = newKey()
    await store().put(key, bytes('old'))
    await expect(store().put(key, streamOf(1_000_000, { failAfter: 300_000 }))).rejects.toThrow('the source failed')
    expect(await text(store(), key)).toBe('old')
    expect(await place().countTemporary()).toBe(0)
  })

  test('stops at maxBytes, cancels the source, and keeps nothing', async () => {
    const key = newKey()
    let cancelled = false
    const body = streamOf(1_000_000, {
      onCancel: () => {
        cancelled = true
      },
    })
    await expect(store().put(key, body, { maxBytes: 200_000 })).rejects.toThrow(ObjectTooLarge)
    expect(cancelled).toBe(true)
    await expect(store().put(key, new Uint8Array(11), { maxBytes: 10 })).rejects.toThrow(ObjectTooLarge)
    await expect(store().head(key)).rejects.toThrow(ObjectNotFound)
    expect(await place().countTemporary()).toBe(0)
    expect(await store().put(key, streamOf(200_000), { maxBytes: 200_000 })).toMatchObject({ size: 200_000 })
  })

  test('leaves nothing of a large body that fails, is too much, or is given up', async () => {
    const key = newKey()
    const abort = new AbortController()
    let pieces = 0
    const givenUp = new ReadableStream<Uint8Array>({
      pull(controller) {
        pieces += 1
        if (pieces <= 20) controller.enqueue(new Uint8Array(1_000_000))
        else abort.abort(new Error('the client left'))
      },
    })
    const failing = streamOf(30_000_000, { failAfter: 20_000_000 })
    await expect(store().put(key, failing)).rejects.toThrow('the source failed')
    await expect(store().put(key, streamOf(30_000_000), { maxBytes: 20_000_000 })).rejects.toThrow(ObjectTooLarge)
    await expect(store().put(key, givenUp, { signal: abort.signal })).rejects.toThrow('the client left')
    await expect(store().head(key)).rejects.toThrow(ObjectNotFound)
    expect(await place().countTemporary()).toBe(0)
  })

  test('gives up when aborted, even while the source is silent', async () => {
    const key = newKey()
    const abort = new AbortController()
    const silent = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(bytes('some')) })
    const put = store().put(key, silent, { signal: abort.signal })
    abort.abort(new Error('the client left'))
    await expect(put).rejects.toThrow('the client left')
    await expect(store().put(key, bytes('x'), { signal: abort.signal })).rejects.toThrow('the client left')
    await expect(store().head(key)).rejects.toThrow(ObjectNotFound)
    expect(await place().countTemporary()).toBe(0)
  })

  test('lets one of many concurrent writers win, whole', async () => {
    const key = newKey()
    const contents = Array.from({ length: 8 }, (_, i) => String(i).repeat(50_000))
    await Promise.all(contents.map((content) => store().put(key, bytes(content))))
    expect(contents).toContain(await text(store(), key))
  })

  test('lets one of several win that are stored in parts, whole', async () => {
    const key = newKey()
    const contents = Array.from({ length: 4 }, (_, i) => new Uint8Array(9_000_000 + i).fill(i))
    const stored = await Promise.all(contents.map((content) => store().put(key, content)))
    const won = new Uint8Array(await new Response((await store().get(key)).body).arrayBuffer())
    expect(stored.map((one) => one.sha256)).toContain(sha256(won))
    expect(await place().countTemporary()).toBe(0)
  })

  test('sweeps nothing that is stored, begun, or under way', async () => {
    const [key, slow] = [newKey(), newKey()]
    await store().put(key, bytes('x'))
    const address = { key, handle: await store().beginUpload(key) }
    const gate = Promise.withResolvers<void>()
    let pieces = 0
    const source = new ReadableStream<Uint8Array>({
      async pull(controller) {
        pieces += 1
        if (pieces === 10) await gate.promise
        controller.enqueue(new Uint8Array(1_000_000))
        if (pieces === 12) controller.close()
      },
    })
    const put = store().put(slow, source)
    while (pieces < 10) await Bun.sleep(5)
    expect(await store().sweepTemporary(600_000)).toBe(0)
    gate.resolve()
    expect((await put).size).toBe(12_000_000)
    expect(await store().openUpload(address).offset()).toBe(0)
    expect(await text(store(), key)).toBe('x')
    await store().openUpload(address).abort()
  })

  test('deletes, also what is not there, and next to what is being written', async () => {
    const key = newKey()
    await store().put(key, bytes('x'))
    await store().delete(key)
    await store().delete(key)
    await expect(store().get(key)).rejects.toThrow(ObjectNotFound)
    const parent = newKey()
    const churn = Array.from({ length: 4 }, async (_, i) => {
      for (let round = 0; round < 25; round++) {
        await store().put(`${parent}/very/deep/${i}`, bytes('x'))
        await store().delete(`${parent}/very/deep/${i}`)
      }
    })
    await Promise.all(churn)
    expect((await store().list({ prefix: parent })).objects).toEqual([])
  })
}

function reading(store: () => ObjectStore): void {
  test('reads ranges as HTTP counts them', async () => {
    const key = newKey()
    await store().put(key, bytes('0123456789'))
    expect(await text(store(), key, { start: 0, end: 0 })).toBe('0')
    expect(await text(store(), key, { start: 2, end: 4 })).toBe('234')
    expect(await text(store(), key, { start: 7 })).toBe('789')
    expect(await text(store(), key, { start: 8, end: 99 })).toBe('89')
    const { body, ...object } = await store().get(key, { range: { start: 8, end: 99 } })
    await body.cancel()
    expect(object).toMatchObject({ size: 10, contentLength: 2, range: { start: 8, end: 9 } })
    for (const range of [{ start: 10 }, { start: 3, end: 2 }, { start: -1 }, { start: 0.5 }]) {
      await expect(store().get(key, { range })).rejects.toThrow(RangeNotSatisfiable)
    }
  })

  test('finishes a read whose object is replaced or deleted meanwhile', async () => {
    const key = newKey()
    await store().put(key, streamOf(2_000_000))
    const { body } = await store().get(key)
    const reader = body.getReader()
    let size = (await reader.read()).value!.byteLength
    await store().delete(key)
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) size += chunk.value.byteLength
    expect(size).toBe(2_000_000)
  })

  test('says that there is nothing', async () => {
    for (const call of [() => store().get(newKey()), () => store().head(newKey())]) {
      await expect(call()).rejects.toMatchObject({ code: 'object_not_found' })
    }
  })
}

const badKeys = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '..',
  '.',
  '../a',
  'a/..',
  'a/../../../etc/passwd',
  'a/./b',
  'A',
  'a b',
  'a\\b',
  'a\0b',
  'a+',
  'é',
  '%2e%2e/a',
  'a\n',
  'x'.repeat(201),
  'a/'.repeat(300).slice(0, -1),
]

function keys(store: () => ObjectStore): void {
  test.each(badKeys)('refuses the key %p everywhere', async (key) => {
    const body = new Uint8Array(1)
    for (const call of [
      () => store().put(key, body),
      () => store().get(key),
      () => store().head(key),
      () => store().delete(key),
      () => store().beginUpload(key),
      async () => store().openUpload({ key, handle: crypto.randomUUID() }),
    ]) {
      await expect(call()).rejects.toThrow(InvalidKey)
    }
  })

  test('a key may be the beginning of another', async () => {
    const key = newKey()
    for (const each of [key, `${key}/b`, `${key}/b/c`, `${key}.b`]) await store().put(each, bytes(each))
    for (const each of [key, `${key}/b`, `${key}/b/c`, `${key}.b`]) expect(await text(store(), each)).toBe(each)
    await store().delete(`${key}/b/c`)
    expect(await text(store(), key)).toBe(key)
  })
}

function listing(makeStore: () => Promise<StoreUnderTest>): void {
  test('lists in order, by prefix, page by page', async () => {
    await using place = await makeStore()
    const { store } = place
    const numbers = ['0', '007', '0x10', '12', '1e3', 'true']
    const all = [
      ...numbers,
      'a',
      'a-b',
      'a.b',
      'a/b',
      'a/b/c',
      'a/b0',
      'a/c',
      'a0',
      'ab/c',
      'b',
      'b/a/a/a',
      'b/b',
    ].sort()
    for (const key of all.toReversed()) await store.put(key, bytes(key))
    const keysOf = async (options: Parameters<ObjectStore['list']>[0]) =>
      (await store.list(options)).objects.map(({ key }) => key)
    expect(await keysOf({})).toEqual(all)
    for (const prefix of ['a', 'a/', 'a/b', 'a/b/', 'b', 'b/a/a', 'zz', 'a-']) {
      expect(await keysOf({ prefix })).toEqual(all.filter((key) => key.startsWith(prefix)))
    }
    for (const limit of [1, 2, 5, all.length]) {
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.list({ limit, ...(cursor !== undefined && { cursor }) })
        expect(page.objects.length).toBeLessThanOrEqual(limit)
        found.push(...page.objects.map(({ key }) => key))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found).toEqual(all)
    }
    const [first] = (await store.list({ limit: 1 })).objects
    expect(first).toEqual(await store.head('0'))
    await expect(store.list({ prefix: '../' + 'A' })).rejects.toThrow(InvalidKey)
  })
}
