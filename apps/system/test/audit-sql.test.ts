import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { AuditSqlResult } from '@conntext/contracts'
import type { Service } from '@conntext/http'
import { eventually } from '@conntext/testing'
import { type Analytics, startAnalytics, target } from './support/analytics.ts'
import type { Caller } from './support/system.ts'

let it: Analytics
/** One that gives up soon: it costs as much to prove. */
let impatient: Service
beforeAll(async () => {
  it = await startAnalytics()
  impatient = (await it.system.another({ sqlSeconds: 1 })).service
})
afterAll(async () => {
  await impatient.stop()
  await it.system[Symbol.asyncDispose]()
})

describe('POST /v1/audit/query', () => {
  const ask = (sql: string, caller: Caller = it.administrator, more: object = {}) =>
    it.system.call('POST', '/v1/audit/query', caller, { sql, ...more })
  const askImpatiently = async (sql: string, caller: Caller = it.administrator) => {
    const response = await impatient.app.handle(
      new Request('http://localhost/v1/audit/query', {
        method: 'POST',
        headers: { authorization: `Bearer ${caller!.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ sql }),
      }),
    )
    return { status: response.status, headers: response.headers, body: await response.json() }
  }

  test('answers an it.administrator, and is recorded with its text', async () => {
    const sql = `SELECT action, count() AS n FROM audit_events WHERE target_id = '${target}' GROUP BY action ORDER BY action`
    const { status, body } = await ask(sql)
    expect(status).toBe(200)
    expect(body as AuditSqlResult).toMatchObject({
      columns: [{ name: 'action' }, { name: 'n', type: 'UInt64' }],
      rows: [
        ['member.banned', 15],
        ['member.kicked', 15],
        ['role.created', 15],
      ],
      truncated: false,
    })
    const [recorded] = await it.system.trail('audit.sqlRun')
    expect(recorded).toMatchObject({ actor: { id: it.administrator!.userId }, data: { sql }, severity: 'notice' })
    expect((recorded!.data as { sha256: string }).sha256).toMatch(/^[0-9a-f]{64}$/)
  })

  test('is cut at its limit, and says so', async () => {
    const { body } = await ask('SELECT id FROM audit_events', it.administrator, { limit: 3 })
    expect(body).toMatchObject({ truncated: true })
    expect((body as AuditSqlResult).rows).toHaveLength(3)
  })

  test('who may read the trail may not ask in SQL', async () => {
    expect(await ask('SELECT 1', it.auditor)).toMatchObject({ status: 403 })
    expect(await ask('SELECT 1', it.member)).toMatchObject({ status: 403 })
    expect(await it.system.call('POST', '/v1/audit/query', undefined, { sql: 'SELECT 1' })).toMatchObject({
      status: 401,
    })
  })

  test('what reaches for more is refused, and recorded', async () => {
    const sql = "SELECT * FROM file('/etc/passwd', 'LineAsString')"
    expect(await ask(sql)).toMatchObject({ status: 422, body: { code: 'audit.sqlRefused' } })
    expect((await it.system.trail('audit.sqlRefused'))[0]).toMatchObject({ outcome: 'refused', data: { sql } })
  })

  test('what reads of the trail is recorded also where it fails, in the place of a value too', async () => {
    const sqls = ['toUInt8(max(action))', '(SELECT toUInt8(max(action)) FROM audit_events)'].map(
      (value) => `SELECT ${value} FROM audit_events`,
    )
    for (const sql of sqls) {
      const { status, body } = await ask(sql)
      expect({ status, body }).toMatchObject({ status: 422, body: { code: 'audit.sqlInvalid' } })
      expect(JSON.stringify(body)).toContain(' as UInt8')
      await eventually(async () => (await it.system.trail('audit.sqlRun')).some(({ data }) => data.sql === sql))
    }
  })

  test('one that the engine cannot end keeps its place until it has, and is not waited for', async () => {
    const times = (count: number, inner: string) => `SELECT concat(${Array(count).fill('x')}) AS x FROM (${inner})`
    const text = times(30, times(100, times(10, `SELECT '${'a'.repeat(100)}' AS x`)))
    const refused = async (letters: number) => {
      // At each of three million places so many letters are compared: within a call nothing interrupts it.
      const sql = `SELECT position(x, concat(substring(x, 1, ${letters}), 'b')) FROM (${text})`
      const answer = await askImpatiently(sql)
      if (answer.status === 200) return false
      expect(answer).toMatchObject({ status: 422, body: { code: 'audit.sqlExpensive' } })
      return (await askImpatiently('SELECT 1')).status === 429
    }
    // A machine that is fast enough is done with it before it would be given up.
    let letters = 30_000
    while (!(await refused(letters))) {
      letters *= 2
      expect(letters).toBeLessThan(1_000_000)
    }
    const other = await it.system.member('administrator')
    await eventually(async () => {
      const { status } = await askImpatiently('SELECT 1', other)
      expect(status).not.toBe(429)
      return status === 200
    })
    await eventually(async () => (await askImpatiently('SELECT 1')).status === 200, 240_000)
  }, 300_000)

  test('mistakes are told without a word of the server', async () => {
    for (const [sql, code] of [
      ['SELEC 1', 'audit.sqlInvalid'],
      ['SELECT nothing FROM audit_events', 'audit.sqlInvalid'],
      [
        'SELECT count() FROM audit_events AS a, audit_events AS b, audit_events AS c, audit_events AS d, audit_events AS e, audit_events AS f WHERE cityHash64(a.id, b.id, c.id, d.id, e.id, f.id) = 1',
        'audit.sqlExpensive',
      ],
    ] as const) {
      const { status, body } = await (code === 'audit.sqlExpensive' ? askImpatiently(sql) : ask(sql))
      expect({ sql, status, body }).toMatchObject({ status: 422, body: { code } })
      expect(JSON.stringify(body)).not.toMatch(/DB::|clickhouse|t_[0-9a-f]{32}|default/i)
    }
    for (const body of [
      {},
      { sql: '' },
      { sql: 'x'.repeat(10_001) },
      { sql: 'SELECT 1', limit: 0 },
      { sql: 'SELECT 1', x: 1 },
    ]) {
      expect(await it.system.call('POST', '/v1/audit/query', it.administrator, body)).toMatchObject({ status: 422 })
    }
  })

  test('one at a time for each person', async () => {
    const slow =
      'SELECT count() FROM audit_events AS a, audit_events AS b, audit_events AS c, audit_events AS d WHERE cityHash64(a.id, b.id, c.id, d.id) = 1'
    const answers = await Promise.all([askImpatiently(slow), askImpatiently(slow), askImpatiently(slow)])
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(2)
    expect(answers.find(({ status }) => status === 429)!.headers.get('retry-after')).toBe('1')
    // The engine may be at it for another moment.
    await eventually(async () => (await askImpatiently('SELECT 1')).status === 200)
  })
})
