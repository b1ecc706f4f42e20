import { expect, test } from 'bun:test'
import { createLogger, silentLogger, startJob } from '../src/index.ts'

const forEver = 1_000_000

test('a job runs at once and again and again, never twice at once', async () => {
  const third = Promise.withResolvers<void>()
  let [runs, underWay, most] = [0, 0, 0]
  const job = startJob(
    {
      name: 'one',
      everyMs: 1,
      async run() {
        underWay += 1
        most = Math.max(most, underWay)
        await Bun.sleep(5)
        underWay -= 1
        runs += 1
        if (runs === 3) third.resolve()
      },
    },
    silentLogger,
  )
  await job.first
  expect(runs).toBe(1)
  await third.promise
  expect(most).toBe(1)
  await job.stop()
  const stopped = runs
  await Bun.sleep(20)
  expect(runs).toBe(stopped)
})

test('a failure is logged by the name of the job, and it goes on', async () => {
  const lines: { job: string; msg: string }[] = []
  const log = createLogger({ service: 'test', level: 'warn', write: (line) => lines.push(JSON.parse(line)) })
  const again = Promise.withResolvers<void>()
  let runs = 0
  const run = async () => {
    runs += 1
    if (runs === 1) throw new Error('broken')
    again.resolve()
  }
  const job = startJob({ name: 'the broken one', everyMs: 1, run }, log)
  await again.promise
  await job.stop()
  expect(lines).toMatchObject([{ job: 'the broken one' }])
})

test('stopping tells the run under way, waits for it, and nothing comes after it', async () => {
  const begun = Promise.withResolvers<void>()
  let told = false
  let done = false
  const job = startJob(
    {
      name: 'long',
      everyMs: 0,
      async run(stopping) {
        begun.resolve()
        await new Promise((resolve) => stopping.addEventListener('abort', resolve))
        told = true
        await Bun.sleep(5)
        done = true
      },
    },
    silentLogger,
  )
  await begun.promise
  await job.stop()
  expect([told, done]).toEqual([true, true])
})

test('a job that begins later can be stopped before it has begun', async () => {
  let runs = 0
  const run = async () => {
    runs += 1
  }
  const later = startJob({ name: 'later', everyMs: forEver, firstAfterMs: 1, run }, silentLogger)
  expect(runs).toBe(0)
  await later.first
  expect(runs).toBe(1)
  await later.stop()
  const never = startJob({ name: 'never', everyMs: forEver, firstAfterMs: forEver, run }, silentLogger)
  await never.stop()
  await never.first
  expect(runs).toBe(1)
})

test('a job that is nudged runs at once, and once more when it was under way', async () => {
  let runs = 0
  let gate = Promise.withResolvers<void>()
  let begun = Promise.withResolvers<void>()
  const run = async () => {
    runs += 1
    begun.resolve()
    await gate.promise
  }
  const job = startJob({ name: 'nudged', everyMs: forEver, firstAfterMs: forEver, run }, silentLogger)
  job.nudge()
  await begun.promise
  begun = Promise.withResolvers<void>()
  for (let i = 0; i < 3; i += 1) job.nudge()
  expect(runs).toBe(1)
  gate.resolve()
  gate = Promise.withResolvers<void>()
  await begun.promise
  gate.resolve()
  await job.stop()
  expect(runs).toBe(2)
  job.nudge()
  expect(runs).toBe(2)
})
