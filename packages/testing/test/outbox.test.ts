import { describe, expect, test } from 'bun:test'
import { authOutbox } from '@conntext/db-server-details'
import { AppError, createLogger, newId } from '@conntext/kernel'
import { type Deliver, enqueue, OutboxRelay, type RelayOptions } from '@conntext/outbox'
import { asc, eq, isNull, sql } from 'drizzle-orm'
import { eventually, testServerDetails } from '../src/index.ts'

const refusal = (status = 422) => new AppError('thing.invalid', status, 'Not that')

/** An outbox in a database of its own; `received` is what the default receiver kept, by topic. */
async function start() {
  const databases = await testServerDetails()
  const db = databases.auth
  const lines: string[] = []
  const log = createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) })
  const received: Record<string, unknown[]> = { a: [], b: [] }
  const relays: OutboxRelay[] = []
  const keep =
    (topic: string): Deliver =>
    async (batch) =>
      void received[topic]!.push(...batch.map((one) => one.payload))
  const it = {
    db,
    lines,
    received,
    keep,
    relay(options: Partial<RelayOptions> = {}) {
      const topics = { a: keep('a'), b: keep('b') }
      const relay = new OutboxRelay({ db, table: authOutbox, topics, log, idleMs: 60_000, ...options })
      relays.push(relay)
      return relay
    },
    /** Writes one row for each payload, in a transaction. */
    async owe(payloads: unknown[], topic = 'a') {
      const entries = payloads.map((payload) => ({ id: newId(), topic, payload }))
      await db.transaction((tx) => enqueue(tx, authOutbox, entries))
      return entries.map((entry) => entry.id)
    },
    rows: () => db.select().from(authOutbox).orderBy(asc(authOutbox.position)),
    due: () => db.$count(authOutbox, isNull(authOutbox.deliveredAt)),
    async [Symbol.asyncDispose]() {
      await Promise.all(relays.map((relay) => relay.stop()))
      await databases[Symbol.asyncDispose]()
    },
  }
  return it
}
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

describe('what is owed', () => {
  test('is delivered once more after a start, where the topic asks for it', async () => {
    await using it = await start()
    await it.owe(['kept'])
    await it.owe(['other'], 'b')
    const first = it.relay()
    first.start()
    await eventually(async () => (await it.due()) === 0)
    await first.stop()
    it.relay({ repeatAtStart: ['a'] }).start()
    await eventually(() => it.received.a!.length === 2)
    await eventually(async () => (await it.due()) === 0)
    expect(it.received).toEqual({ a: ['kept', 'kept'], b: ['other'] })
  })

  test('is delivered if, and only if, its transaction commits', async () => {
    await using it = await start()
    const failed = it.db.transaction(async (tx) => {
      await enqueue(tx, authOutbox, [{ id: newId(), topic: 'a', payload: 'never' }])
      throw new Error('rolled back')
    })
    await expect(failed).rejects.toThrow('rolled back')
    await it.owe(['once'])
    it.relay().start()
    await eventually(() => it.received.a!.length > 0)
    expect(it.received.a).toEqual(['once'])
    await eventually(async () => (await it.due()) === 0)
  })

  test('nothing at all is fine too', async () => {
    await using it = await start()
    await enqueue(it.db, authOutbox, [])
    expect(await it.rows()).toEqual([])
  })

  test('arrives in order, in batches, topic by topic', async () => {
    await using it = await start()
    await it.owe(upTo(25))
    await it.owe(upTo(10), 'b')
    const sizes: number[] = []
    const a: Deliver = async (batch) => {
      sizes.push(batch.length)
      await it.keep('a')(batch)
    }
    it.relay({ topics: { a, b: it.keep('b') }, batchSize: 10 }).start()
    await eventually(() => it.received.a!.length === 25 && it.received.b!.length === 10)
    expect(it.received).toEqual({ a: upTo(25), b: upTo(10) })
    expect(sizes).toEqual([10, 10, 5])
  })

  test('keeps its id and its payload as they were', async () => {
    await using it = await start()
    const payload = { text: 'ä \\u0000 "quoted" 👩‍👧', nested: [1, null, { a: true }] }
    const [id] = await it.owe([payload])
    const got: unknown[] = []
    it.relay({ topics: { a: async (batch) => void got.push(...batch) } }).start()
    await eventually(() => got.length > 0)
    expect(got).toMatchObject([{ id, payload }])
  })

  test('is looked for at once after a nudge, and by itself after the pause', async () => {
    await using it = await start()
    const nudged = it.relay()
    nudged.start()
    await Bun.sleep(50)
    await it.owe(['nudged'])
    nudged.nudge()
    await eventually(() => it.received.a!.length === 1)
    await nudged.stop()
    it.relay({ idleMs: 20 }).start()
    await it.owe(['found'])
    await eventually(() => it.received.a!.length === 2)
  })

  test('that was written while a delivery was under way needs no second nudge', async () => {
    await using it = await start()
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const a: Deliver = async (batch) => {
      entered.resolve()
      await gate.promise
      await it.keep('a')(batch)
    }
    const relay = it.relay({ topics: { a } })
    await it.owe([1])
    relay.start()
    await entered.promise
    await it.owe([2])
    relay.nudge()
    gate.resolve()
    await eventually(() => it.received.a!.length === 2)
  })
})

describe('a receiver that is away', () => {
  test('gets everything when it is back, in order, and holds up no other topic', async () => {
    await using it = await start()
    await it.owe(upTo(3))
    await it.owe(['other'], 'b')
    let attempts = 0
    const a: Deliver = async (batch) => {
      attempts += 1
      if (attempts < 3) throw new Error('away')
      await it.keep('a')(batch)
    }
    it.relay({ topics: { a, b: it.keep('b') } }).start()
    await eventually(() => it.received.b!.length === 1)
    await eventually(() => it.received.a!.length === 3)
    expect(it.received.a).toEqual([0, 1, 2])
    expect(attempts).toBe(3)
    expect(it.lines.filter((line) => line.includes('will be tried again'))).toHaveLength(2)
  })

  test('is given growing pauses, which nudges do not cut short', async () => {
    await using it = await start()
    await it.owe([1])
    const at: number[] = []
    const relay = it.relay({
      topics: {
        a: async () => {
          at.push(performance.now())
          throw new Error('away')
        },
      },
    })
    relay.start()
    const nudging = setInterval(() => relay.nudge(), 5)
    await eventually(() => at.length >= 4)
    clearInterval(nudging)
    const pauses = at.slice(1).map((time, i) => time - at[i]!)
    // 200, 400 and 800 ms, of which at least a half.
    expect(pauses[0]).toBeGreaterThan(90)
    expect(pauses[1]).toBeGreaterThan(190)
    expect(pauses[2]).toBeGreaterThan(390)
  })

  test.each([429, 503])('that says %p is tried again, and nothing is set aside', async (status) => {
    await using it = await start()
    await it.owe([1])
    let attempts = 0
    const a: Deliver = async (batch) => {
      attempts += 1
      if (attempts === 1) throw refusal(status)
      await it.keep('a')(batch)
    }
    it.relay({ topics: { a } }).start()
    await eventually(() => it.received.a!.length === 1)
    expect(await it.rows()).toMatchObject([{ refusals: 0, refusedWith: null }])
  })
})

describe('a row that is refused for what it is', () => {
  const picky =
    (keep: Deliver): Deliver =>
    async (batch) => {
      if (batch.some((one) => one.payload === 'bad')) throw refusal()
      await keep(batch)
    }

  test('is set aside with the reason, and the others go on in order', async () => {
    await using it = await start()
    await it.owe([1, 'bad', 2, 'bad', 3])
    it.relay({ topics: { a: picky(it.keep('a')) } }).start()
    await eventually(() => it.received.a!.length === 3)
    await eventually(async () => (await it.due()) === 2)
    expect(it.received.a).toEqual([1, 2, 3])
    const aside = (await it.rows()).filter((row) => row.refusals > 0)
    expect(aside).toMatchObject([
      { payload: 'bad', refusals: 1, refusedWith: 'thing.invalid', deliveredAt: null },
      { payload: 'bad', refusals: 1 },
    ])
    expect(it.lines.filter((line) => line.includes('set aside'))).toHaveLength(2)
  })

  test('for text that no database keeps is set aside as well', async () => {
    await using it = await start()
    await it.owe([1, 'bad', 2])
    const a: Deliver = async (batch) => {
      for (const { payload } of batch) {
        const text = payload === 'bad' ? 'a\0b' : String(payload)
        await it.db.execute(sql`select ${text}::text`)
      }
      await it.keep('a')(batch)
    }
    it.relay({ topics: { a } }).start()
    await eventually(() => it.received.a!.length === 2)
    await eventually(async () => (await it.due()) === 1)
    expect((await it.rows()).filter((row) => row.refusals > 0)).toMatchObject([
      { payload: 'bad', refusedWith: 'unstorable' },
    ])
  })

  test('is neither tried again nor owed any more', async () => {
    await using it = await start()
    await it.owe(['bad'])
    let attempts = 0
    const relay = it.relay({
      topics: {
        a: async (batch) => {
          attempts += 1
          await picky(it.keep('a'))(batch)
        },
      },
      idleMs: 10,
    })
    relay.start()
    await eventually(async () => (await it.rows())[0]!.refusals === 1)
    await it.owe(['good'])
    await eventually(() => it.received.a!.length === 1)
    // The bad one, then the good one.
    expect(attempts).toBe(2)
    await eventually(async () => (await it.due()) === 1)
    expect(await relay.lag()).toEqual([{ topic: 'a', due: 0, oldest: null, refused: 1 }])
  })

  test('is tried again at the next start, before what came after it: a newer receiver may take it', async () => {
    await using it = await start()
    await it.owe(['bad'])
    const before = it.relay({ topics: { a: picky(it.keep('a')) } })
    before.start()
    await eventually(async () => (await it.rows())[0]!.refusals === 1)
    await before.stop()
    await it.owe(['good'])
    it.relay().start()
    await eventually(() => it.received.a!.length === 2)
    expect(it.received.a).toEqual(['bad', 'good'])
    await eventually(async () => (await it.due()) === 0)
  })

  test('among many costs few attempts', async () => {
    await using it = await start()
    await it.owe([...upTo(60), 'bad', ...upTo(60)])
    let attempts = 0
    const counting: Deliver = async (batch) => {
      attempts += 1
      await picky(it.keep('a'))(batch)
    }
    it.relay({ topics: { a: counting } }).start()
    await eventually(async () => (await it.due()) === 1)
    expect(it.received.a).toEqual([...upTo(60), ...upTo(60)])
    expect(attempts).toBeLessThan(20)
  })

  test('at which the receiver fails again and again is set aside once the receiver takes others', async () => {
    await using it = await start()
    await it.owe(['poison'])
    const broken = () => new AppError('internal', 500, 'Something went wrong')
    const a: Deliver = async (batch) => {
      if (batch.some((one) => one.payload === 'poison')) throw broken()
      await it.keep('a')(batch)
    }
    it.relay({ topics: { a }, patience: 2 }).start()
    // By itself it proves nothing: it may be the receiver that is broken.
    await eventually(() => it.lines.filter((line) => line.includes('will be tried again')).length >= 3)
    expect((await it.rows())[0]).toMatchObject({ refusals: 0, deliveredAt: null })
    expect(it.lines.filter((line) => line.includes('is set aside'))).toEqual([])
    await it.owe([1, 2])
    await eventually(() => it.received.a!.length === 2)
    expect(it.received.a).toEqual([1, 2])
    await eventually(async () => (await it.due()) === 1)
    expect((await it.rows())[0]).toMatchObject({ payload: 'poison', refusals: 1, refusedWith: 'internal' })
    expect(it.lines.filter((line) => line.includes('is set aside'))).toHaveLength(1)
  })

  test('whose receiver goes away half way: all is delivered again, and nothing is lost', async () => {
    await using it = await start()
    await it.owe([1, 'bad', 2])
    let away = true
    const a: Deliver = async (batch) => {
      if (away && batch.length === 1 && batch[0]!.payload === 2) {
        away = false
        throw new Error('away')
      }
      await picky(it.keep('a'))(batch)
    }
    it.relay({ topics: { a } }).start()
    await eventually(() => it.received.a!.includes(2))
    expect(it.received.a).toEqual([1, 1, 2])
  })
})

describe('several relays', () => {
  test('never ship a topic at the same time, nor overtake each other, and lose nothing', async () => {
    await using it = await start()
    let inside = 0
    let most = 0
    const by = new Set<number>()
    const slow =
      (who: number): Deliver =>
      async (batch) => {
        inside += 1
        most = Math.max(most, inside)
        by.add(who)
        await Bun.sleep(2)
        await it.keep('a')(batch)
        inside -= 1
      }
    for (const who of [1, 2, 3]) it.relay({ topics: { a: slow(who) }, batchSize: 5, idleMs: 1 }).start()
    for (let i = 0; i < 20; i += 1) await it.owe(upTo(10).map((n) => i * 10 + n))
    await eventually(async () => (await it.due()) === 0)
    expect(it.received.a).toEqual(upTo(200))
    expect(most).toBe(1)
    // Otherwise this would have proven nothing.
    expect(by.size).toBeGreaterThan(1)
  })

  test('of which one is killed between delivery and commit: the other delivers again', async () => {
    await using it = await start()
    const ids = await it.owe([1, 2])
    const delivered: string[] = []
    const backend = Promise.withResolvers<number>()
    const doomed = it.relay({
      topics: {
        async a(batch) {
          delivered.push(...batch.map((one) => one.id))
          const [row] = (await it.db.execute(
            sql`select pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
          )) as unknown as { pid: number }[]
          backend.resolve(row!.pid)
          await it.db.execute(sql`select pg_terminate_backend(${row!.pid})`)
        },
      },
    })
    doomed.start()
    await backend.promise
    await doomed.stop()
    expect(delivered).toEqual(ids)
    expect(await it.due()).toBe(2)
    it.relay().start()
    await eventually(() => it.received.a!.length > 0)
    expect(it.received.a).toEqual([1, 2])
    await eventually(async () => (await it.due()) === 0)
  })
})

describe('the end', () => {
  test('waits for the delivery that is under way', async () => {
    await using it = await start()
    await it.owe([1])
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const relay = it.relay({
      topics: {
        async a(batch) {
          entered.resolve()
          await gate.promise
          await it.keep('a')(batch)
        },
      },
    })
    relay.start()
    await entered.promise
    const stopped = relay.stop()
    expect(await Promise.race([stopped.then(() => 'stopped'), Bun.sleep(30).then(() => 'waiting')])).toBe('waiting')
    gate.resolve()
    await stopped
    expect(await it.due()).toBe(0)
  })

  test('does not wait out a pause', async () => {
    await using it = await start()
    const relay = it.relay()
    relay.start()
    await it.owe([1])
    const began = performance.now()
    await relay.stop()
    expect(performance.now() - began).toBeLessThan(20_000)
  })

  test('with flush ships all that is there, however many batches', async () => {
    await using it = await start()
    const relay = it.relay({ batchSize: 10 })
    relay.start()
    await Bun.sleep(50)
    await it.owe(upTo(35))
    await it.owe(upTo(15), 'b')
    await relay.stop({ flush: true })
    expect(it.received).toEqual({ a: upTo(35), b: upTo(15) })
    expect(await it.due()).toBe(0)
  })

  test('with flush and a receiver that is away ends all the same, and loses nothing', async () => {
    await using it = await start()
    await it.owe([1])
    const away = async () => {
      throw new Error('away')
    }
    const relay = it.relay({ topics: { a: away, b: it.keep('b') } })
    await it.owe([2], 'b')
    await relay.stop({ flush: true })
    expect(it.received.b).toEqual([2])
    expect(await it.due()).toBe(1)
    expect(it.lines.join()).toContain('could not be flushed')
  })

  test('a receiver that never answers keeps nobody from stopping; what it was to get stays', async () => {
    await using it = await start()
    await it.owe(['kept'])
    const asked = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    const hang = () => {
      asked.resolve()
      return answer.promise
    }
    const relay = it.relay({ topics: { a: hang }, stopWithinMs: 100 })
    relay.start()
    await asked.promise
    const stopped = relay.stop({ flush: true }).then(() => 'stopped')
    expect(await Promise.race([stopped, Bun.sleep(20_000).then(() => 'hangs')])).toBe('stopped')
    expect(it.lines.join()).toContain('in time')
    answer.reject(new Error('too late'))
    await eventually(() => it.lines.some((line) => line.includes('too late')))
    expect(await it.due()).toBe(1)
  })

  test('is not for ever: it can be started again, and then is no busier than before', async () => {
    await using it = await start()
    let statements = 0
    const counting = new Proxy(it.db, {
      get(target, name, receiver) {
        if (name === 'delete' || name === 'transaction') statements += 1
        return Reflect.get(target, name, receiver)
      },
    })
    const relay = it.relay({ db: counting, topics: { a: it.keep('a') } })
    relay.start()
    await relay.stop()
    relay.start()
    relay.start()
    await it.owe([1])
    relay.nudge()
    await eventually(() => it.received.a!.length === 1)
    const before = statements
    await Bun.sleep(100)
    expect(statements - before).toBeLessThan(3)
  })
})

test('delivered rows are removed after their time; what is owed or set aside stays', async () => {
  await using it = await start()
  const [old, young, , aside] = await it.owe(['old', 'young', 'owed', 'aside'])
  const mark = (id: string, values: object) => it.db.update(authOutbox).set(values).where(eq(authOutbox.id, id))
  await mark(old!, { deliveredAt: sql`now() - interval '61 seconds'` })
  await mark(young!, { deliveredAt: sql`now() - interval '20 seconds'` })
  await mark(aside!, { refusals: 1, createdAt: sql`now() - interval '1 year'` })
  it.relay({ topics: {}, keepMs: 60_000, pruneEveryMs: 10 }).start()
  await eventually(async () => (await it.rows()).length < 4)
  expect((await it.rows()).map((row) => row.payload)).toEqual(['young', 'owed', 'aside'])
})

test('lag tells what is owed by topic, and since when', async () => {
  await using it = await start()
  const relay = it.relay()
  expect(await relay.lag()).toEqual([])
  await it.owe([1, 2])
  await it.owe([3], 'b')
  const lag = (await relay.lag()).toSorted((x, y) => x.topic.localeCompare(y.topic))
  expect(lag).toMatchObject([
    { topic: 'a', due: 2, refused: 0 },
    { topic: 'b', due: 1, refused: 0 },
  ])
  expect(Math.abs(Date.parse(lag[0]!.oldest!) - Date.now())).toBeLessThan(10_000)
})

test('an id is owed only once', async () => {
  await using it = await start()
  const entry = { id: newId(), topic: 'a', payload: 1 }
  await enqueue(it.db, authOutbox, [entry])
  await expect(enqueue(it.db, authOutbox, [entry])).rejects.toThrow()
})
