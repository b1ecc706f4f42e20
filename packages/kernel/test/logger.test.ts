import { describe, expect, test } from 'bun:test'
import { AppError, createLogger, type LogLevel, LogThreshold } from '../src/index.ts'

function record(level: LogLevel = 'debug') {
  const lines: string[] = []
  const log = createLogger({ service: 'test', level, write: (line) => lines.push(line) })
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

test('a line is JSON with the service, the level, the time and the message', () => {
  const { log, last } = record()
  log.info({ count: 1 }, 'it happened')
  expect(last()).toMatchObject({ service: 'test', level: 'info', msg: 'it happened', count: 1 })
  expect(new Date(last().time as string).toISOString()).toBe(last().time as string)
})

test('what is below the level is not written, and a silent logger writes nothing', () => {
  const quiet = record('warn')
  quiet.log.info({}, 'no')
  quiet.log.warn({}, 'yes')
  expect(quiet.lines).toHaveLength(1)
  const silent = record('silent')
  silent.log.error({}, 'no')
  expect(silent.lines).toHaveLength(0)
})

test('a threshold is followed by every logger of it, and their children, while they are there', () => {
  const lines: string[] = []
  const level = new LogThreshold('warn')
  const log = createLogger({ service: 'test', level, write: (line) => lines.push(line) })
  const child = log.child({ part: 1 })
  const written = () => {
    for (const one of [log, child]) {
      one.debug({}, 'debug')
      one.info({}, 'info')
      one.warn({}, 'warn')
      one.error({}, 'error')
    }
    return lines.splice(0).map((line) => (JSON.parse(line) as { msg: string }).msg)
  }
  expect(written()).toEqual(['warn', 'error', 'warn', 'error'])
  level.tell('debug')
  expect(level).toMatchObject({ own: 'warn', told: 'debug', current: 'debug' })
  expect(written()).toHaveLength(8)
  level.tell('error')
  expect(written()).toEqual(['error', 'error'])
  level.tell(null)
  expect(written()).toHaveLength(4)
  const silent = new LogThreshold('silent')
  const quiet = createLogger({ service: 'test', level: silent, write: (line) => lines.push(line) })
  quiet.error({}, 'no')
  silent.tell('error')
  quiet.error({}, 'yes')
  expect(lines).toHaveLength(1)
})

describe('secrets', () => {
  const fields = ['password', 'token', 'accessToken', 'refreshToken', 'authorization', 'setupCode', 'content']

  test.each(fields)('a field named %s is censored, at the top and one below', (field) => {
    const { log, lines } = record()
    log.info({ [field]: 'hunter2', body: { [field]: 'hunter2', kept: 'visible' } }, 'said')
    log
      .child({ [field]: 'hunter2' })
      .child({ request: { [field]: 'hunter2' } })
      .info({}, 'said')
    expect(lines.join()).not.toContain('hunter2')
    expect(lines[0]).toContain('visible')
    expect(lines.join().match(/\[redacted\]/g)).toHaveLength(4)
  })
})

/** As drizzle wraps what the driver threw: words and parameters of the statement, and the driver's error as cause. */
function queryError(given: { message?: string; code?: string } = {}) {
  const params = ['bob', 'hunter2']
  const query = 'insert into users values ($1, $2)'
  const driver = Object.assign(new Error('duplicate key value violates unique constraint "users_key"'), {
    name: 'PostgresError',
    code: '23505',
    constraint_name: 'users_key',
    table_name: 'users',
    detail: 'Key (password)=(hunter2) already exists.',
    parameters: params,
    query,
    ...given,
  })
  return Object.assign(new Error(`Failed query: ${query}\nparams: ${params}`, { cause: driver }), { query, params })
}

describe('an error', () => {
  test('is told with its type, message, code, stack and causes', () => {
    const { log, last } = record()
    const cause = Object.assign(new TypeError('the cause'), { code: 'ECONNREFUSED' })
    log.error({ err: new AppError('thing.away', 503, 'Away', { cause }) }, 'failed')
    expect(last().err).toMatchObject({
      type: 'AppError',
      message: 'Away',
      code: 'thing.away',
      cause: { type: 'TypeError', message: 'the cause', code: 'ECONNREFUSED' },
    })
    expect((last().err as { stack: string }).stack).toContain('logger.test.ts')
  })

  test.each(['err', 'error', 'cause', 'reason'])(
    'of a query as %s tells which one, but not what was in it',
    (field) => {
      const { log, lines } = record()
      log.error({ [field]: queryError() }, 'failed')
      log.error({ nested: { [field]: queryError() } }, 'failed')
      log.error(queryError(), 'failed')
      expect(lines.join()).not.toContain('hunter2')
      expect(lines[0]).toContain('insert into users values ($1, $2)')
      expect(lines[0]).toContain('23505')
      expect(lines[0]).toContain('duplicate key value violates unique constraint')
      expect(lines[0]).toContain('users_key')
    },
  )

  test('of a query with a value that Postgres quotes is told without it', () => {
    const { log, last, lines } = record()
    const err = queryError({ code: '22P02', message: 'invalid input syntax for type uuid: "hunter2"' })
    log.error({ err }, 'failed')
    expect(last().err).toMatchObject({ cause: { message: 'a value was refused', code: '22P02' } })
    expect(lines.join()).not.toContain('hunter2')
  })

  test('tells none of the properties that somebody hung on it', () => {
    const { log, lines } = record()
    const request = { headers: { cookie: 'hunter2' } }
    log.error({ err: Object.assign(new Error('failed'), { request, body: 'hunter2' }) }, 'failed')
    expect(lines.join()).not.toContain('hunter2')
  })

  test('that causes itself, and what is no error, can be logged', () => {
    const { log, lines } = record()
    const circular = new Error('round')
    circular.cause = circular
    log.error({ err: circular }, 'failed')
    log.error({ err: 'only text' }, 'failed')
    log.error({ err: undefined }, 'failed')
    expect(lines).toHaveLength(3)
    expect(JSON.parse(lines[1]!).err).toBe('only text')
  })

  test('of several is told with each', () => {
    const { log, lines } = record()
    log.error({ err: new AggregateError([new Error('one'), queryError()], 'both') }, 'failed')
    expect(lines.join()).toContain('one')
    expect(lines.join()).not.toContain('hunter2')
  })
})
