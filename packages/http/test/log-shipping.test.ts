import { expect, test } from 'bun:test'
import type { LogEntry } from '@conntext/contracts'
import { AppError, createLogger, withContext } from '@conntext/kernel'
import { shipLogs, toEntry } from '../src/index.ts'

const until = async (holds: () => boolean) => {
  for (let i = 0; i < 2_000 && !holds(); i += 1) await Bun.sleep(5)
  expect(holds()).toBe(true)
}

function shipping() {
  const said: string[] = []
  const printed = { lines: 0 }
  const logs = shipLogs({ say: (line) => said.push(line) })
  const write = () => {
    printed.lines += 1
  }
  const log = createLogger({ service: 'test', level: 'debug', write, ship: logs.ship })
  return { logs, log, said, printed }
}

test('a line becomes an entry with all that it said', () => {
  const lines: string[] = []
  const log = createLogger({ service: 'auth', level: 'debug', write: (line) => lines.push(line) })
  withContext({ requestId: 'r-1' }, () => log.warn({ count: 3, password: 'hunter2' }, 'it happened'))
  expect(toEntry(lines[0]!, 'host/1')).toEqual({
    id: expect.any(String) as string,
    at: expect.any(String) as string,
    service: 'auth',
    instance: 'host/1',
    level: 'warn',
    message: 'it happened',
    requestId: 'r-1',
    traceId: null,
    fields: { count: 3, password: '[redacted]' },
  })
})

test('lines wait until somebody takes them', async () => {
  const { logs, log } = shipping()
  const got: LogEntry[] = []
  log.info({}, 'early')
  await Bun.sleep(0)
  logs.deliverTo(async ({ entries }) => got.push(...entries))
  await until(() => got.length === 1)
  expect(got[0]!.message).toBe('early')
  await logs.stop()
})

test('a flood of lines while nobody takes them costs bounded memory, is counted, and holds up nobody', async () => {
  const { logs, log, said, printed } = shipping()
  const away = { tries: 0 }
  logs.deliverTo(async () => {
    away.tries += 1
    throw new AppError('dependency.away', 503, 'Away')
  })
  const fields = { text: 'x'.repeat(500) }
  for (let i = 0; i < 10_000; i += 1) log.warn(fields, 'a flood')
  Bun.gc(true)
  const before = process.memoryUsage().rss
  let slowest = 0
  for (let round = 0; round < 100; round += 1) {
    const began = performance.now()
    for (let i = 0; i < 1_000; i += 1) log.warn(fields, 'a flood')
    await new Promise(setImmediate)
    slowest = Math.max(slowest, performance.now() - began)
  }
  await until(() => away.tries > 0)
  Bun.gc(true)
  // 110,000 lines of half a kilobyte are 55 MB and more.
  expect(process.memoryUsage().rss - before).toBeLessThan(40_000_000)
  expect(printed.lines).toBe(110_000)
  expect(slowest).toBeLessThan(5_000)
  const got: LogEntry[] = []
  let lost = 0
  logs.deliverTo(async (request) => {
    got.push(...request.entries)
    lost += request.lost
  })
  await until(() => got.length > 0 && got.length + lost === 110_000)
  expect(lost).toBeGreaterThan(90_000)
  expect(said).toEqual(['logs can not be shipped for now; they wait', 'logs are shipped again'])
  await logs.stop()
}, 60_000)
