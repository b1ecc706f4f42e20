import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ClickHouseError, TupleParam } from '@clickhouse/client'
import { temporaryDirectory } from './support/directories.ts'
import { eventually } from './support/processes.ts'
import { clientOf, type DisposableClickHouse, rowsOf, startTestClickHouse } from './support/stores.ts'

// Each test starts databases; a busy machine takes its time.
setDefaultTimeout(60_000)

const place = temporaryDirectory()
let clickHouse: DisposableClickHouse
let client: ReturnType<typeof clientOf>

beforeAll(async () => {
  clickHouse = await startTestClickHouse({ directory: join(place.path, 'clickhouse') })
  client = clientOf(clickHouse)
})
afterAll(async () => {
  await client.close()
  await clickHouse.stop()
  place[Symbol.dispose]()
})

/** A table of its own for each test. */
async function newTable(): Promise<string> {
  const table = `t_${crypto.randomUUID().replaceAll('-', '')}`
  await client.command({
    query: `CREATE TABLE ${table} (id UInt64, at DateTime64(3, 'UTC') DEFAULT '2100-01-01 00:00:00', action LowCardinality(String),
      target Nullable(String), tags Array(String)) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (id)
      TTL toDateTime(at) + INTERVAL 90 DAY`,
  })
  return table
}

const row = (id: number) => ({
  id,
  at: '2100-11-01 00:00:00.123',
  action: `a${id % 3}`,
  target: id % 2 ? null : `t'é\n\\${id}`,
  tags: ['x', `y${id}`],
})

const count = async (table: string) =>
  Number((await rowsOf<{ n: string }>(client, `SELECT count() n FROM ${table}`))[0]!.n)

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (error: ClickHouseError) => {
      expect(error).toBeInstanceOf(ClickHouseError)
      return error
    },
  )

describe('inserts', () => {
  test('arrays, streams, formats, compressed or not, all arrive', async () => {
    const table = await newTable()
    const { summary } = await client.insert({ table, values: [row(0), row(1)], format: 'JSONEachRow' })
    expect(summary?.written_rows).toBe('2')
    await client.insert({ table, columns: ['id'], values: [{ id: 2 }], format: 'JSONEachRow' })
    await client.insert({ table, columns: ['id'], values: [[3]], format: 'JSONCompactEachRow' })
    const csv = Readable.from(['4,"q,""x"""\n', '5,b\n'], { objectMode: false })
    await client.insert({ table, columns: ['id', 'action'], values: csv, format: 'CSV' })
    await client.command({ query: `INSERT INTO ${table} (id, action) VALUES (6, 'semi;colon')` })
    await client.insert({ table, values: Readable.from([row(7), row(8)]), format: 'JSONEachRow' })
    await client.insert({ table, values: Readable.from([]), format: 'JSONEachRow' })
    await using zipped = clientOf(clickHouse, { compression: { request: true, response: true } })
    await zipped.insert({ table, values: [row(9)], format: 'JSONEachRow' })
    await client.insert({
      table,
      values: [row(10)],
      format: 'JSONEachRow',
      clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1 },
    })
    const rows = await rowsOf<{ id: number; target: string }>(zipped, `SELECT id, target FROM ${table} ORDER BY id`)
    expect(rows.map(({ id }) => Number(id))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(rows[0]!.target).toBe("t'é\n\\0")
  })

  test.each(['zstd', 'gzip', 'br', 'deflate'])('with a body compressed by %s', async (encoding) => {
    const table = await newTable()
    const { zstdCompressSync, gzipSync, brotliCompressSync, deflateSync } = await import('node:zlib')
    const compress = { zstd: zstdCompressSync, gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync }[encoding]!
    const query = encodeURIComponent(`INSERT INTO ${table} (id) FORMAT TabSeparated`)
    const response = await fetch(`${clickHouse.url}/?query=${query}`, {
      method: 'POST',
      body: compress('1\n2\n3\n'),
      headers: { 'content-encoding': encoding, ...authorization() },
    })
    expect(await response.text()).toBe('')
    expect(await count(table)).toBe(3)
  })

  test('a row that is wrong stores nothing and names the fault', async () => {
    const table = await newTable()
    const insert = client.insert({ table, values: [{ id: 1 }, { id: 'nope' }], format: 'JSONEachRow' })
    expect((await failure(insert)).type).toMatch(/PARSE|INCORRECT_DATA/)
    expect(await count(table)).toBe(0)
  })
})

function authorization(user = clickHouse.user, password = clickHouse.password) {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

describe('queries', () => {
  test('bind parameters of all kinds, long ones as multipart', async () => {
    const query_params = {
      s: "it's \\ \t\n; DROP -- é",
      b: true,
      nothing: null,
      a: ["x'", 'y'],
      m: { k: 1 },
      t: new TupleParam([1, 'z']),
      d: new Date('2026-01-02T03:04:05.678Z'),
      table: 'one',
    }
    const query = `SELECT {s:String} s, {b:Bool} b, {nothing:Nullable(String)} nothing, {a:Array(String)} a,
      {m:Map(String, UInt8)} m, {t:Tuple(UInt8, String)} t, {d:DateTime64(3)} d FROM system.{table:Identifier}`
    const [found] = await rowsOf<object>(client, query, { query_params })
    expect(found).toEqual({
      s: "it's \\ \t\n; DROP -- é",
      b: true,
      nothing: null,
      a: ["x'", 'y'],
      m: { k: 1 },
      t: [1, 'z'],
      d: '2026-01-02 03:04:05.678',
    })
    const long = { query_params: { s: 'z'.repeat(50_000) }, use_multipart_params: true }
    expect(await rowsOf(client, 'SELECT length({s:String}) n', long)).toEqual([{ n: 50_000 }])
  })

  test('keep literals, comments and formats where they are', async () => {
    const text = async (query: string) => (await (await client.exec({ query })).stream.toArray()).join('').trim()
    expect(await text("SELECT 'a; FORMAT JSON' -- ; FORMAT CSV\n;")).toBe('a; FORMAT JSON')
    expect(await text('SELECT 1, 2 /* ; */ FORMAT CSV')).toBe('1,2')
    expect(await text("SELECT '--', $$ ; ' $$ FORMAT CSV SETTINGS max_threads = 1")).toBe(`"--"," ; ' "`)
    expect((await client.ping({ select: true })).success).toBe(true)
    const withNames = await client.query({ query: "SELECT number a, 'b' b FROM numbers(2)", format: 'CSVWithNames' })
    expect(await withNames.text()).toBe('"a","b"\n0,"b"\n1,"b"\n')
    const json = await (await client.query({ query: 'SELECT 1 one', format: 'JSON' })).json()
    expect(json).toMatchObject({ meta: [{ name: 'one' }], data: [{ one: 1 }], rows: 1 })
  })

  test.each([false, true])('stream more than memory should hold (compressed: %p)', async (response) => {
    await using streaming = clientOf(clickHouse, { compression: { response } })
    const result = await streaming.query({
      query: 'SELECT number, toString(number) text FROM numbers(400000)',
      format: 'JSONEachRow',
    })
    let rows = 0
    for await (const chunk of result.stream()) rows += chunk.length
    expect(rows).toBe(400_000)
  })

  test('run in parallel, each with settings of its own', async () => {
    const found = await Promise.all(
      Array.from({ length: 64 }, (_, i) =>
        rowsOf<{ i: number; threads: string }>(client, "SELECT {i:UInt32} i, getSetting('max_threads') threads", {
          query_params: { i },
          clickhouse_settings: { max_threads: (i % 7) + 1 },
        }),
      ),
    )
    expect(found.map(([first]) => [first!.i, Number(first!.threads)])).toEqual(found.map((_, i) => [i, (i % 7) + 1]))
    const [{ rows }] = (await rowsOf<{ rows: string }>(client, "SELECT getSetting('max_result_rows') rows")) as [
      { rows: string },
    ]
    expect(Number(rows)).toBe(0)
  })
})

describe('errors', () => {
  test.each([
    ['SELEC 1', '62'],
    ['SELECT * FROM nope', '60'],
    ['SELECT {missing:String}', '456'],
    ['SELECT 1; SELECT 2', '62'],
    // The engine knows these quotes, and would find a second statement.
    ["SELECT 1 AS “'”; DROP TABLE nope; --'", '62'],
    ["SELECT 1 INTO OUTFILE '/tmp/conntext-outfile'", '1'],
    ['   ', '62'],
  ])('%p is refused with code %s', async (query, code) => {
    expect((await failure(client.command({ query }))).code).toBe(code)
  })

  test('an unknown setting, a row limit, a time limit, read only', async () => {
    const fail = async (query: string, settings: Record<string, string | number>) =>
      (await failure(rowsOf(client, query, { clickhouse_settings: settings as never }))).code
    expect(await fail('SELECT 1', { nonsense_x: 1 })).toBe('115')
    expect(await fail('SELECT number FROM numbers(1000)', { max_result_rows: '10' })).toBe('396')
    expect(await fail('SELECT count() FROM numbers(100000000000)', { max_execution_time: 0.5 })).toBe('159')
    expect(await fail('CREATE TABLE x (a UInt8) ENGINE = Memory', { readonly: '1' })).toBe('164')
    const loosen = client.command({ query: 'SET readonly = 0', clickhouse_settings: { readonly: '1' } })
    expect((await failure(loosen)).code).toBe('164')
    expect(await fail("SELECT * FROM file('/etc/passwd', 'LineAsString')", { readonly: '1' })).toBe('164')
  })

  test('in the middle of a stream reach the reader', async () => {
    const read = async () => {
      const result = await client.query({
        query: 'SELECT number, throwIf(number = 300000) FROM numbers(500000)',
        format: 'JSONEachRow',
        clickhouse_settings: { max_block_size: '65536' },
      })
      for await (const _ of result.stream()) {
        // read on
      }
    }
    expect(await failure(read())).toMatchObject({ code: '395', type: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO' })
  })

  test('a wrong user or password is refused everywhere but at /ping', async () => {
    for (const wrong of [{ password: 'wrong' }, { password: '' }, { username: 'default' }]) {
      await using stranger = clientOf(clickHouse, wrong)
      expect(await failure(rowsOf(stranger, 'SELECT 1'))).toMatchObject({ code: '516' })
    }
    expect((await fetch(`${clickHouse.url}/?query=SELECT%201`)).status).toBe(403)
    expect((await fetch(`${clickHouse.url}/ping`)).status).toBe(200)
  })

  test('a GET can change nothing', async () => {
    const table = await newTable()
    const query = encodeURIComponent(`DROP TABLE ${table}`)
    const response = await fetch(`${clickHouse.url}/?query=${query}`, { headers: authorization() })
    expect([response.status, response.headers.get('x-clickhouse-exception-code')]).toEqual([403, '164'])
    expect(await count(table)).toBe(0)
  })
})

describe('named sessions', () => {
  test('keep temporary tables, but no request its settings', async () => {
    await using named = clientOf(clickHouse, { session_id: crypto.randomUUID() })
    await named.command({ query: 'CREATE TEMPORARY TABLE tt (a UInt8)', clickhouse_settings: { max_threads: 3 } })
    await named.insert({ table: 'tt', values: [{ a: 7 }], format: 'JSONEachRow' })
    const query = "SELECT a, getSetting('max_threads') = 3 AS leaked FROM tt"
    expect(await rowsOf<object>(named, query)).toEqual([{ a: 7, leaked: 0 }])
    await using other = clientOf(clickHouse)
    expect((await failure(rowsOf(other, 'SELECT a FROM tt'))).code).toBe('60')
  })

  test('take one query at a time', async () => {
    await using named = clientOf(clickHouse, { session_id: crypto.randomUUID() })
    const slow = rowsOf(named, 'SELECT sleep(2)')
    const query = "SELECT 1 FROM system.processes WHERE query LIKE 'SELECT sleep%'"
    await eventually('the first one runs', async () => (await rowsOf(client, query)).length === 1)
    expect((await failure(rowsOf(named, 'SELECT 1'))).code).toBe('373')
    await slow
  })
})
