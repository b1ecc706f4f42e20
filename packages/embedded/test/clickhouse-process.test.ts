import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  EmbeddedClickHouseFailed,
  EmbeddedClickHouseUnavailable,
  freePort,
  startClickHouse,
  supervise,
} from '../src/index.ts'
import { temporaryDirectory } from './support/directories.ts'
import { eventually, isRunning } from './support/processes.ts'
import { clickHouseUser, clientOf, rowsOf, startTestClickHouse } from './support/stores.ts'

// Each test starts databases; a busy machine takes its time.
setDefaultTimeout(60_000)

const running = async (client: ReturnType<typeof clientOf>) =>
  rowsOf<{ query: string }>(client, "SELECT query FROM system.processes WHERE query NOT LIKE '%system.processes%'")

// Sleeps 0.1 s for each of 200 blocks.
const slowSettings = { max_block_size: '1', function_sleep_max_microseconds_per_block: '1000000000' } as never

describe('cancelling', () => {
  test('a client that leaves takes its query along, buffered or streamed', async () => {
    using place = temporaryDirectory()
    await using clickHouse = await startTestClickHouse({ directory: place.path, concurrency: 2 })
    await using client = clientOf(clickHouse)
    for (const query of [
      'SELECT sum(sleepEachRow(0.1)) FROM numbers(200)',
      'SELECT sleepEachRow(0.1) FROM numbers(200)',
    ]) {
      for (const format of ['JSON', 'JSONEachRow'] as const) {
        const abort = new AbortController()
        const asked = client.query({ query, format, abort_signal: abort.signal, clickhouse_settings: slowSettings })
        const read = asked.then((result) => result.text())
        await eventually('the query runs', async () => (await running(client)).length === 1)
        abort.abort()
        await expect(read).rejects.toThrow()
        await eventually('the query is gone', async () => (await running(client)).length === 0, 10_000)
      }
    }
  })

  test('a reader that stops in the middle of a stream frees the query, and a slow one holds no thread', async () => {
    using place = temporaryDirectory()
    await using clickHouse = await startTestClickHouse({ directory: place.path, concurrency: 2 })
    await using client = clientOf(clickHouse)
    const query = 'SELECT number FROM numbers(100000000000)'
    const streams = await Promise.all(
      Array.from({ length: 4 }, async () => (await client.query({ query, format: 'JSONEachRow' })).stream()),
    )
    // Nobody reads: four streams wait, on two threads, and others still get their turn.
    expect(await rowsOf<object>(client, 'SELECT 1 one')).toEqual([{ one: 1 }])
    await eventually('the four run', async () => (await running(client)).length === 4)
    for (const stream of streams) stream.destroy()
    await eventually('the queries are gone', async () => (await running(client)).length === 0)
  })
})

describe('the process', () => {
  test('stops after the queries that run, and keeps what was acknowledged', async () => {
    using place = temporaryDirectory()
    const first = await startTestClickHouse({ directory: place.path })
    await using client = clientOf(first)
    await client.command({ query: 'CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a' })
    await client.insert({
      table: 'kept',
      values: [{ a: 1 }],
      format: 'JSONEachRow',
      clickhouse_settings: { async_insert: 1, wait_for_async_insert: 0, async_insert_busy_timeout_ms: 60_000 },
    })
    const slow = rowsOf<object>(client, 'SELECT 1 one, sleep(2) s')
    await eventually('the query runs', async () => (await running(client)).length === 1)
    await Promise.all([first.stop(), first.stop()])
    expect(await slow).toEqual([{ one: 1, s: 0 }])
    expect(await first.exited).toEqual({ code: 0, signal: null })

    await using second = await startTestClickHouse({ directory: place.path })
    await using again = clientOf(second)
    expect(await rowsOf<object>(again, 'SELECT a FROM kept')).toEqual([{ a: 1 }])
  })

  test('is started again on the same port when it dies, and the client just goes on', async () => {
    using place = temporaryDirectory()
    const lines: string[] = []
    const supervised = await supervise(
      (port) => startClickHouse({ ...clickHouseUser, directory: place.path, ...(port !== undefined && { port }) }),
      { name: 'ClickHouse', firstDelayMs: 10, log: (line) => lines.push(line) },
    )
    const { pid } = supervised.current()
    await using client = clientOf(supervised.current())
    await client.command({ query: 'CREATE TABLE kept (a UInt64) ENGINE = MergeTree ORDER BY a' })
    await client.insert({ table: 'kept', values: [{ a: 1 }], format: 'JSONEachRow' })
    process.kill(pid, 'SIGKILL')
    await eventually('another process answers', async () => {
      const rows = await rowsOf<object>(client, 'SELECT a FROM kept').catch(() => [])
      return rows.length === 1
    })
    expect(supervised.failures()).toBe(1)
    expect(supervised.current().pid).not.toBe(pid)
    expect(lines).toEqual(['ClickHouse ended by itself (SIGKILL); starting it again in 10 ms'])
    const last = supervised.current()
    await supervised.stop()
    await supervised.stop()
    expect(isRunning(last.pid)).toBe(false)
  })

  test('waits for a predecessor that still has the directory', async () => {
    using place = temporaryDirectory()
    const first = await startTestClickHouse({ directory: place.path })
    const starting = startTestClickHouse({ directory: place.path })
    const early = await Promise.race([starting.then(() => 'started'), Bun.sleep(500).then(() => 'waiting')])
    await first.stop()
    await using second = await starting
    expect(early).toBe('waiting')
    expect(isRunning(second.pid)).toBe(true)
  })

  test("names a port that is taken, and a directory that can't be made", async () => {
    using place = temporaryDirectory()
    const port = await freePort()
    {
      using _listener = Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } })
      const start = startTestClickHouse({ directory: join(place.path, 'a'), port })
      await expect(start).rejects.toThrow(`can't use the port ${port} of 127.0.0.1: another program has it`)
    }
    await expect(startTestClickHouse({ directory: '/proc/nothing' })).rejects.toThrow(EmbeddedClickHouseFailed)
  })

  test('where there is no chdb, says what to do', async () => {
    using place = temporaryDirectory()
    const source = fileURLToPath(new URL('../src', import.meta.url))
    cpSync(source, join(place.path, 'src'), { recursive: true })
    const copy = (await import(
      join(place.path, 'src', 'clickhouse', 'start.ts')
    )) as typeof import('../src/clickhouse/start.ts')
    const start = copy.startClickHouse({ ...clickHouseUser, directory: join(place.path, 'data') })
    const error = await start.catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'embedded_clickhouse_unavailable', name: EmbeddedClickHouseUnavailable.name })
    expect(String(error)).toContain('configure the URL of a ClickHouse server')
  })

  test('hides its password from the list of processes', async () => {
    using place = temporaryDirectory()
    await using clickHouse = await startTestClickHouse({ directory: place.path })
    const { stdout } = Bun.spawnSync(['ps', 'eww', '-o', 'args=', '-p', String(clickHouse.pid)])
    expect(stdout.toString()).toContain('child.ts')
    expect(stdout.toString()).not.toContain(clickHouse.password)
  })
})
