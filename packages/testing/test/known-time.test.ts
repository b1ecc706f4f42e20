import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { confirmTime, DIFFERENCE_MS, KnownTime, OFF_AT_MOST_MS } from '@conntext/database'
import { systemKnownTime } from '@conntext/db-server-details'
import { createLogger } from '@conntext/kernel'
import { testServerDetails } from '../src/index.ts'

const HOUR_MS = 3_600_000
const YEAR_MS = 365 * 24 * HOUR_MS

let database: Awaited<ReturnType<typeof testServerDetails>>
beforeAll(async () => {
  database = await testServerDetails()
}, 60_000)
afterAll(() => database?.[Symbol.asyncDispose]())
beforeEach(() => database.system.delete(systemKnownTime))

/** A machine whose clock is `offMs` ahead of the true time, which is the database's; nothing keeps it right, unless told. */
function machine() {
  const clock = { offMs: 0, isKept: false, passedMs: 0 }
  const lines: string[] = []
  const knownTime = new KnownTime({
    db: database.system,
    table: systemKnownTime,
    log: createLogger({ service: 'test', level: 'warn', write: (line) => lines.push(line) }),
    now: () => new Date(Date.now() + clock.offMs),
    isKept: () => clock.isKept,
    elapsed: () => clock.passedMs,
  })
  let runs = 0
  const job = knownTime.guard({
    name: 'retention',
    everyMs: HOUR_MS,
    run: async () => {
      runs += 1
    },
  })
  return {
    clock,
    knownTime,
    lines,
    /** Whether the job did anything. */
    async runs(): Promise<boolean> {
      const before = runs
      await job.run(new AbortController().signal)
      return runs > before
    },
  }
}

const known = async (): Promise<number | undefined> =>
  (await database.system.select().from(systemKnownTime))[0]?.at.getTime()
const knewLast = (agoMs: number) => confirmTime(database.system, systemKnownTime, new Date(Date.now() - agoMs))

test('a clock that nobody contradicts is believed, and what it says is kept', async () => {
  const { knownTime, runs } = machine()
  const before = Date.now()
  expect(await knownTime.look()).toBeUndefined()
  expect(await known()).toBeGreaterThanOrEqual(before)
  expect(await runs()).toBe(true)
})

test('a server that was off for a while goes on', async () => {
  await knewLast(OFF_AT_MOST_MS - HOUR_MS)
  const { runs } = machine()
  expect(await runs()).toBe(true)
  expect(await known()).toBeGreaterThan(Date.now() - HOUR_MS)
})

test('a clock, and the database’s with it, that is far ahead of all that is known deletes nothing, until it is confirmed', async () => {
  await knewLast(YEAR_MS)
  const then = await known()
  const { knownTime, runs } = machine()
  expect(await knownTime.look()).toMatchObject({ kind: 'ahead' })
  expect(await runs()).toBe(false)
  // Looking at it again doesn't make it known.
  expect(await runs()).toBe(false)
  expect(await known()).toBe(then)
  await confirmTime(database.system, systemKnownTime, new Date())
  expect(await knownTime.look()).toBeUndefined()
  expect(await runs()).toBe(true)
})

test('a server that was off for long goes on by itself once the system keeps its clock right by NTP', async () => {
  await knewLast(YEAR_MS)
  const { clock, knownTime, runs } = machine()
  expect(await runs()).toBe(false)
  clock.isKept = true
  expect(await knownTime.look()).toBeUndefined()
  expect(await runs()).toBe(true)
  expect(await known()).toBeGreaterThan(Date.now() - HOUR_MS)
  // It is a reason to believe what is ahead, not what the database contradicts.
  clock.offMs = YEAR_MS
  expect(await knownTime.look()).toMatchObject({ kind: 'apart' })
  expect(await runs()).toBe(false)
})

test('as long as a clock is in doubt it is said again each day, and once that it is over', async () => {
  await knewLast(YEAR_MS)
  const { clock, knownTime, lines } = machine()
  const told = () => lines.splice(0).map((line) => JSON.parse(line).level)
  await knownTime.look()
  await knownTime.look()
  expect(told()).toEqual(['error'])
  clock.passedMs += 24 * HOUR_MS
  await knownTime.look()
  expect(told()).toEqual(['error'])
  clock.isKept = true
  await knownTime.look()
  await knownTime.look()
  expect(told()).toEqual(['warn'])
})

test('a clock that jumps a year ahead deletes nothing, and goes on when it is set right', async () => {
  const { clock, knownTime, runs } = machine()
  expect(await runs()).toBe(true)
  const then = await known()
  clock.offMs = YEAR_MS
  expect(await runs()).toBe(false)
  expect(await knownTime.look()).toMatchObject({ kind: 'ahead' })
  expect(await known()).toBe(then)
  clock.offMs = 0
  expect(await runs()).toBe(true)
  expect(await knownTime.look()).toBeUndefined()
})

test('a clock that is apart from the database’s deletes nothing', async () => {
  const { clock, knownTime, runs } = machine()
  await runs()
  for (const offMs of [2 * HOUR_MS, -2 * HOUR_MS]) {
    clock.offMs = offMs
    expect(await knownTime.look()).toMatchObject({ kind: 'apart' })
    expect(await runs()).toBe(false)
  }
  clock.offMs = DIFFERENCE_MS / 2
  expect(await runs()).toBe(true)
})

test('a clock that is behind what was known is told of; it has too little deleted, not too much', async () => {
  await knewLast(-HOUR_MS)
  const { knownTime, runs } = machine()
  expect(await knownTime.look()).toMatchObject({ kind: 'behind' })
  expect(await runs()).toBe(true)
  expect(await known()).toBeGreaterThan(Date.now())
})
