import { describe, expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import { decodeNews, subjects } from '@conntext/contracts'
import { streamEvents as log, streams } from '@conntext/db-server-details'
import { createLogger, newId, silentLogger } from '@conntext/kernel'
import {
  appendEvents,
  dropStream,
  lockStreams,
  type NewEvent,
  publishEvents,
  streamEvents,
  streamHeads,
} from '@conntext/streams'
import { and, asc, eq, lte, sql } from 'drizzle-orm'
import postgres from 'postgres'
import { eventually, testServerDetails } from '../src/index.ts'

const tables = { streams, streamEvents: log }
const event = (stream: string, change: Partial<NewEvent> = {}): NewEvent => ({
  stream,
  type: 'test',
  data: {},
  ...change,
})

async function start() {
  const databases = await testServerDetails()
  const db = databases.system
  return {
    db,
    adminUrl: databases.adminUrl,
    append: (events: NewEvent[]) => db.transaction((tx) => appendEvents(tx, tables, events)),
    heads: (...names: string[]) => streamHeads(db, tables, names),
    read: (stream: string, after = 0, limit = 100) => streamEvents(db, tables, { stream, after, limit }),
    /** Removes the log up to a number, as retention does. */
    prune: (stream: string, upTo: number) => db.delete(log).where(and(eq(log.stream, stream), lte(log.seq, upTo))),
    [Symbol.asyncDispose]: () => databases[Symbol.asyncDispose](),
  }
}

describe('appending', () => {
  test('numbers each stream from 1, without gaps, in the order given', async () => {
    await using it = await start()
    const first = await it.append([event('a'), event('b'), event('a')])
    expect(first.map(({ stream, seq }) => [stream, seq])).toEqual([
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ])
    const [next] = await it.append([event('a')])
    expect(next!.seq).toBe(3)
    expect(await it.heads('a', 'b', 'c')).toEqual({ a: 3, b: 1, c: 0 })
  })

  test('keeps the frame as it answered it: stream, number, type, time, data', async () => {
    await using it = await start()
    const data = { text: 'ä "q" \u0000 \u2028 👩‍👧', big: 1e21, nested: [null, { a: [] }] }
    const at = '2026-01-01T00:00:00.000Z'
    const [appended] = await it.append([event('server', { type: 'thing.happened', at, data })])
    const { events } = await it.read('server')
    expect(events).toEqual([{ seq: 1, frame: appended!.frame }])
    expect(JSON.parse(appended!.frame)).toEqual({
      op: 'event',
      t: 'thing.happened',
      stream: 'server',
      seq: 1,
      at,
      d: data,
    })
  })

  test('takes data that is not there for null', async () => {
    await using it = await start()
    const [appended] = await it.append([event('a', { data: undefined })])
    expect(JSON.parse(appended!.frame).d).toBeNull()
  })

  test('nothing is nothing', async () => {
    await using it = await start()
    expect(await it.append([])).toEqual([])
  })

  test('in a transaction that fails takes no numbers', async () => {
    await using it = await start()
    await it.append([event('a')])
    const failed = it.db.transaction(async (tx) => {
      await appendEvents(tx, tables, [event('a'), event('new')])
      throw new Error('rolled back')
    })
    await expect(failed).rejects.toThrow('rolled back')
    expect(await it.heads('a', 'new')).toEqual({ a: 1, new: 0 })
    expect((await it.append([event('a')]))[0]!.seq).toBe(2)
  })

  test('a hundred at once over streams that overlap, new ones too: no gaps, nothing twice, no deadlock', async () => {
    await using it = await start()
    const names = Array.from({ length: 8 }, (_, i) => `s${i}`)
    await it.append(names.slice(0, 3).map((name) => event(name)))
    const some = (i: number) => names.filter((_, n) => (i * 7 + n * 5) % 3 === 0).toSorted(() => (i % 2 ? 1 : -1))
    const appended = await Promise.all(
      Array.from({ length: 100 }, (_, i) => it.append(some(i).map((name) => event(name)))),
    )
    const all = [...appended.flat(), ...names.slice(0, 3).map((stream) => ({ stream, seq: 1 }))]
    const heads = await it.heads(...names)
    for (const name of names) {
      const numbers = all.filter((one) => one.stream === name).map((one) => one.seq)
      expect(numbers.toSorted((x, y) => x - y)).toEqual(numbers.map((_, i) => i + 1))
      expect(heads[name]).toBe(numbers.length)
      expect((await it.read(name, 0, 500)).events.map((one) => one.seq)).toEqual(numbers.map((_, i) => i + 1))
    }
  })
})

describe('locking', () => {
  test('of a stream that appears meanwhile does not end in a deadlock', async () => {
    await using it = await start()
    await it.append([event('b')])
    const admin = postgres(it.adminUrl, { max: 1, onnotice: () => {} })
    // Holds up the slow one where it is about to make the stream.
    await admin.unsafe(`
      create function hold_up() returns trigger language plpgsql as $$
      begin
        if current_setting('test.slow', true) = 'on' then perform pg_advisory_xact_lock(42); end if;
        return new;
      end $$;
      create trigger hold_up before insert on streams for each row execute function hold_up();
      select pg_advisory_lock(42)`)
    const waiting = async (number: number) => {
      const [row] =
        await admin`select count(*)::int as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
      return row!.n >= number
    }
    // One wants a and b while there is only b; before it gets to make a, a is there, and somebody else has locked it.
    const slow = it.db.transaction(async (tx) => {
      await tx.execute(sql`set local test.slow = 'on'`)
      await appendEvents(tx, tables, [event('a'), event('b')])
    })
    await eventually(() => waiting(1))
    await it.append([event('a')])
    let done = false
    const other = it.append([event('a'), event('b')]).finally(() => {
      done = true
    })
    await eventually(async () => done || (await waiting(2)))
    await admin`select pg_advisory_unlock(42)`
    await Promise.all([slow, other])
    expect(await it.heads('a', 'b')).toEqual({ a: 3, b: 3 })
    await admin.end()
  })

  test('holds back whoever wants one of them, and nobody else', async () => {
    await using it = await start()
    const locked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const holder = it.db.transaction(async (tx) => {
      const heads = await lockStreams(tx, tables, ['b', 'a', 'b'])
      expect([...heads].toSorted()).toEqual([
        ['a', 0],
        ['b', 0],
      ])
      locked.resolve()
      await gate.promise
    })
    await locked.promise
    await it.append([event('c')])
    let through = false
    const waiting = it.append([event('a')]).then(() => {
      through = true
    })
    await Bun.sleep(50)
    expect(through).toBe(false)
    gate.resolve()
    await Promise.all([holder, waiting])
  })
})

describe('an event with an id', () => {
  test('is appended once, however often it comes', async () => {
    await using it = await start()
    const id = newId()
    expect(await it.append([event('a', { id })])).toHaveLength(1)
    expect(await it.append([event('a', { id })])).toEqual([])
    const others = await it.append([event('a', { id }), event('a', { id: newId() })])
    expect(others.map((one) => one.seq)).toEqual([2])
    expect(await it.heads('a')).toEqual({ a: 2 })
  })

  test('is appended once when it comes twice in the same batch', async () => {
    await using it = await start()
    const id = newId()
    expect(await it.append([event('a', { id }), event('a', { id })])).toHaveLength(1)
  })

  test('is appended once when it comes twice at the same time', async () => {
    await using it = await start()
    const id = newId()
    const appended = await Promise.all(Array.from({ length: 10 }, () => it.append([event('a', { id })])))
    expect(appended.flat()).toHaveLength(1)
    expect(await it.heads('a')).toEqual({ a: 1 })
  })
})

describe('reading', () => {
  test('goes on after a number, up to a limit', async () => {
    await using it = await start()
    await it.append(Array.from({ length: 10 }, () => event('a')))
    const numbers = async (after: number, limit: number) => {
      const { events, truncated } = await it.read('a', after, limit)
      return { seqs: events.map((one) => one.seq), truncated }
    }
    expect(await numbers(0, 3)).toEqual({ seqs: [1, 2, 3], truncated: false })
    expect(await numbers(3, 100)).toEqual({ seqs: [4, 5, 6, 7, 8, 9, 10], truncated: false })
    expect(await numbers(10, 100)).toEqual({ seqs: [], truncated: false })
  })

  test('of a stream in which nothing has happened is nothing', async () => {
    await using it = await start()
    expect(await it.read('nowhere')).toEqual({ events: [], truncated: false })
    expect(await it.heads()).toEqual({})
  })

  test('says so when the log no longer reaches back, partly or at all', async () => {
    await using it = await start()
    await it.append(Array.from({ length: 10 }, () => event('a')))
    await it.prune('a', 4)
    expect((await it.read('a', 3)).truncated).toBe(true)
    expect((await it.read('a', 4)).truncated).toBe(false)
    await it.prune('a', 10)
    expect((await it.read('a', 4)).truncated).toBe(true)
    expect((await it.read('a', 10)).truncated).toBe(false)
  })

  test('says so to a reader who is ahead of the stream, as after a restored backup', async () => {
    await using it = await start()
    await it.append([event('a')])
    expect(await it.read('a', 5)).toEqual({ events: [], truncated: true })
    expect(await it.read('gone', 5)).toEqual({ events: [], truncated: true })
  })

  test('while others append never takes a new event for a gap', async () => {
    await using it = await start()
    let writing = true
    const writer = (async () => {
      for (let i = 0; i < 150; i += 1) await it.append([event('a')])
      writing = false
    })()
    let after = 0
    let gaps = 0
    while (writing) {
      const { events, truncated } = await it.read('a', after, 10)
      if (truncated) gaps += 1
      after = events.at(-1)?.seq ?? after
    }
    await writer
    expect(gaps).toBe(0)
  })
})

test('a dropped stream is gone, and the others stay', async () => {
  await using it = await start()
  await it.append([event('a'), event('b')])
  await it.db.transaction((tx) => dropStream(tx, tables, 'a'))
  expect(await it.heads('a', 'b')).toEqual({ a: 0, b: 1 })
  expect(await it.db.select({ stream: log.stream }).from(log).orderBy(asc(log.stream))).toEqual([{ stream: 'b' }])
})

describe('publishing', () => {
  test('tells each event with its number and its frame, in order', async () => {
    await using it = await start()
    const bus = createMemoryBus(silentLogger)
    const heard: unknown[] = []
    await bus.subscribe(subjects.stream('a'), (payload) => heard.push(decodeNews(payload)))
    const appended = await it.append([event('a'), event('b'), event('a')])
    await publishEvents(bus, silentLogger, appended)
    expect(heard).toEqual(appended.filter((one) => one.stream === 'a').map(({ seq, frame }) => ({ seq, frame })))
  })

  test('with a bus that is away fails nobody: it is logged, without the words', async () => {
    const lines: string[] = []
    const log = createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) })
    const bus = { ...createMemoryBus(silentLogger), publish: () => Promise.reject(new Error('away')) }
    await publishEvents(bus, log, [{ stream: 'a', seq: 1, frame: 'the words' }])
    expect(lines.join()).toContain('could not be published')
    expect(lines.join()).not.toContain('the words')
  })
})
