import { expect, test } from 'bun:test'
import { createLogger, currentContext, Shipper, type ShipperOptions, withContext } from '../src/index.ts'

/** A shipper whose receiver is there or not, as the test likes. */
function shipping(options: Partial<ShipperOptions<string>> = {}) {
  const got: { batch: string[]; lost: number }[] = []
  const changes: unknown[] = []
  const receiver = { away: undefined as Error | undefined, tries: 0 }
  const shipper = new Shipper<string>({
    async ship(batch, lost) {
      receiver.tries += 1
      if (receiver.away) throw receiver.away
      got.push({ batch: [...batch], lost })
    },
    sizeOf: (text) => text.length,
    everyMs: 5,
    changed: (error) => changes.push(error),
    ...options,
  })
  const all = () => got.flatMap(({ batch }) => batch)
  return { shipper, got, all, changes, receiver }
}

const until = async (holds: () => boolean) => {
  for (let i = 0; i < 4_000 && !holds(); i += 1) await Bun.sleep(5)
  expect(holds()).toBe(true)
}

test('all that is added is shipped once, in order, several at once', async () => {
  const { shipper, all, got } = shipping({ batchItems: 100 })
  const added = Array.from({ length: 1_000 }, (_, index) => `line ${index}`)
  for (const line of added) shipper.add(line)
  await until(() => all().length >= 1_000)
  expect(all()).toEqual(added)
  expect(got).toHaveLength(10)
  expect(shipper.counts).toEqual({ shipped: 1_000, dropped: 0 })
  expect(shipper.waitingBytes).toBe(0)
})

test('while the receiver is away memory is bounded, what is lost is counted, and told with what comes next', async () => {
  const { shipper, all, got, changes, receiver } = shipping({ maxBytes: 1_000 })
  receiver.away = new Error('away')
  for (let i = 0; i < 100_000; i += 1) shipper.add('0123456789')
  expect(shipper.waitingBytes).toBe(1_000)
  expect(shipper.counts.dropped).toBe(99_900)
  await until(() => receiver.tries > 1)
  receiver.away = undefined
  await until(() => all().length === 100)
  expect(got[0]!.lost).toBe(99_900)
  expect(got.slice(1).every(({ lost }) => lost === 0)).toBe(true)
  // That it failed is told once, and that it goes again once.
  expect(changes).toEqual([new Error('away'), undefined])
})

test('what was sent and not answered is sent again as it was, whatever came meanwhile', async () => {
  const tried: string[][] = []
  const { shipper } = shipping({
    async ship(batch) {
      tried.push([...batch])
      if (tried.length === 1) throw new Error('the answer was lost')
    },
  })
  shipper.add('a')
  await until(() => tried.length === 1)
  shipper.add('b')
  await until(() => tried.length === 3)
  expect(tried).toEqual([['a'], ['a'], ['b']])
})

test('what the receiver refuses is dropped and counted, and holds up nothing', async () => {
  const { shipper, all } = shipping({
    batchItems: 1,
    isRefusal: () => true,
    async ship([line]) {
      if (line === 'bad') throw new Error('no')
      shipped.push(line!)
    },
  })
  const shipped: string[] = []
  for (const line of ['a', 'bad', 'b']) shipper.add(line)
  await until(() => shipped.length === 2)
  expect(all()).toEqual([])
  expect(shipper.counts).toEqual({ shipped: 2, dropped: 1 })
})

test('what is logged while lines are shipped is not shipped: no line makes another', async () => {
  const printed: string[] = []
  let ships = 0
  const shipper = new Shipper<string>({
    async ship() {
      ships += 1
      await Bun.sleep(1)
      log.warn({}, 'the shipping went wrong')
      throw new Error('away')
    },
    sizeOf: (text) => text.length,
    everyMs: 1,
    changed: (error) => log.warn({ err: error }, 'logs can not be shipped'),
  })
  const log = createLogger({
    service: 'test',
    level: 'debug',
    write: (line) => printed.push(line),
    ship: (line) => shipper.add(line),
  })
  log.info({}, 'one')
  const size = shipper.waitingBytes
  await until(() => ships >= 2)
  expect(shipper.waitingBytes).toBe(size)
  expect(printed.length).toBeGreaterThan(2)
})

test('it ships on nobody in particular behalf', async () => {
  let requestId: string | undefined = 'none'
  const { shipper, receiver } = shipping({
    async ship() {
      requestId = currentContext()?.requestId
    },
  })
  withContext({ requestId: 'r-1' }, () => shipper.add('a'))
  await until(() => requestId !== 'none')
  expect(requestId).toBeUndefined()
  expect(receiver.tries).toBe(0)
})

test('an end ships what waits, and takes no more', async () => {
  const { shipper, all } = shipping({ everyMs: 60_000 })
  shipper.add('a')
  await shipper.stop()
  shipper.add('b')
  expect(all()).toEqual(['a'])
  expect(shipper.counts).toEqual({ shipped: 1, dropped: 1 })
})

test('a receiver that hangs holds up no end', async () => {
  const { shipper } = shipping({ ship: () => new Promise(() => {}) })
  shipper.add('a')
  const began = performance.now()
  await shipper.stop(50)
  expect(performance.now() - began).toBeLessThan(10_000)
})
