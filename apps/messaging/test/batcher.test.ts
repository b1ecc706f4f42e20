import { expect, test } from 'bun:test'
import { Batcher, type Outcome } from '../src/messages/batcher.ts'

type Batch = { items: string[]; finish(): void }

/** Items are `<key><number>`; each batch is under way until it is finished by hand. */
function start({ maxBatch = 10, maxInFlight = 2, maxQueued = 100 } = {}) {
  const batches: Batch[] = []
  const batcher = new Batcher<string, string>({
    run: (items) =>
      new Promise<Outcome<string>[]>((resolve) => {
        batches.push({ items, finish: () => resolve(items.map((value) => ({ value }))) })
      }),
    keyOf: (item) => item[0]!,
    maxBatch,
    maxInFlight,
    maxQueued,
    full: () => new Error('full'),
  })
  return { batcher, batches, add: (...items: string[]) => items.map((item) => batcher.add(item)) }
}

/** Whatever is scheduled for the next turns of the event loop has run. */
const turns = async () => {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve))
}

test('what comes at once goes at once, as one batch', async () => {
  const { batches, add } = start()
  add('a1', 'b1', 'a2')
  await turns()
  expect(batches.map(({ items }) => items)).toEqual([['a1', 'b1', 'a2']])
})

test('what comes for a key that is under way waits and goes together; other keys do not wait', async () => {
  const { batches, add } = start()
  add('a1')
  await turns()
  add('a2', 'b1')
  await turns()
  add('a3')
  await turns()
  expect(batches.map(({ items }) => items)).toEqual([['a1'], ['b1']])
  batches[0]!.finish()
  await turns()
  expect(batches[2]!.items).toEqual(['a2', 'a3'])
})

test('who is answered joins those who wait, where the next is there at once', async () => {
  const { batches, add } = start()
  const [first] = add('a1')
  await turns()
  add('a2')
  await turns()
  // As a gateway does: what has been read in one turn is handed on in the next.
  void first!.then(() => setImmediate(() => setImmediate(() => add('a3'))))
  batches[0]!.finish()
  await turns()
  expect(batches[1]!.items).toEqual(['a2', 'a3'])
})

test('no more batches than allowed are under way, and none is larger than allowed; all keep their order', async () => {
  const { batches, add } = start({ maxBatch: 2, maxInFlight: 2 })
  const done = add('a1', 'a2', 'a3', 'b1', 'c1', 'a4')
  await turns()
  // The rest of a's waits for its key, b and c are the second batch.
  expect(batches.map(({ items }) => items)).toEqual([
    ['a1', 'a2'],
    ['b1', 'c1'],
  ])
  batches[1]!.finish()
  await turns()
  expect(batches).toHaveLength(2)
  batches[0]!.finish()
  await turns()
  expect(batches[2]!.items).toEqual(['a3', 'a4'])
  batches[2]!.finish()
  expect(await Promise.all(done)).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4'])
})

test('draining waits for what waits for its key; what does not fit is refused', async () => {
  const { batcher, batches, add } = start({ maxQueued: 1 })
  add('a1')
  await turns()
  const [waiting, refused] = add('a2', 'a3')
  await expect(refused!).rejects.toThrow('full')
  let isDrained = false
  const drained = batcher.drain().then(() => {
    isDrained = true
  })
  batches[0]!.finish()
  await turns()
  expect(isDrained).toBe(false)
  batches[1]!.finish()
  await drained
  expect(await waiting!).toBe('a2')
})
