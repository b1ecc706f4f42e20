import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EmbeddedPostgresFailed, freePort } from '../src/index.ts'
import { startPostgresBoundBy } from '../src/postgres/start.ts'
import { temporaryDirectory } from './support/directories.ts'
import {
  asOrdinaryUser,
  eventually,
  isRoot,
  isRunning,
  ordinaryUser,
  processesWith,
  runScript,
  userOf,
} from './support/processes.ts'
import { connect, startTestPostgres, superuserPassword } from './support/stores.ts'

// Each test starts databases; a busy machine takes its time.
setDefaultTimeout(30_000)

describe('a fresh cluster', () => {
  test('has the settings it should, keeps its data, and stops at once', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    const first = await startTestPostgres({ directory, durability: 'full', settings: { work_mem: '5MB' } })
    {
      await using sql = connect(first.url('postgres'))
      const [row] = await sql`
        select current_setting('server_encoding') encoding, current_setting('data_checksums') checksums,
          current_setting('fsync') fsync, current_setting('work_mem') work_mem, current_setting('timezone') timezone,
          current_setting('listen_addresses') addresses, current_setting('unix_socket_directories') sockets,
          (select datlocale from pg_database where datname = 'postgres') locale,
          upper('é') upper, length(to_tsvector('simple', 'größe naïve')) words`
      expect(row).toEqual({
        encoding: 'UTF8',
        checksums: 'on',
        fsync: 'on',
        work_mem: '5MB',
        timezone: 'UTC',
        addresses: '127.0.0.1',
        sockets: '',
        locale: 'C.UTF-8',
        upper: 'É',
        words: 2,
      })
      await sql`create database conntext`
    }
    await using idle = connect(first.url('conntext'))
    await idle`create table kept (id int)`
    await idle`insert into kept values (1)`
    const stopping = performance.now()
    await Promise.all([first.stop(), first.stop()])
    expect(performance.now() - stopping).toBeLessThan(20_000)
    expect(await first.exited).toEqual({ code: 0, signal: null })

    await using second = await startTestPostgres({ directory })
    await using sql = connect(second.url('conntext'))
    expect(await sql`select id from kept`).toHaveLength(1)
    expect(statSync(directory).mode & 0o777).toBe(0o700)
    expect(readdirSync(place.path)).toEqual(['postgres'])
  })

  test('refuses a wrong password and no password', async () => {
    using place = temporaryDirectory()
    await using running = await startTestPostgres({ directory: join(place.path, 'postgres') })
    for (const password of ['wrong', '']) {
      await using sql = connect(running.url('postgres', 'postgres', password))
      await expect(sql`select 1`.execute()).rejects.toThrow(/password/)
    }
    await using sql = connect(running.url('postgres'))
    const rules = await sql`select distinct auth_method from pg_hba_file_rules`
    expect(rules.map((rule) => rule.auth_method)).toEqual(['scram-sha-256'])
  })
})

describe('what is in the directory', () => {
  test('an interrupted first start leaves nothing that a second one trips over', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    // Killed at several points of initdb, which takes about half a second.
    for (const delay of [20, 150, 300]) {
      await using script = runScript('start-postgres.ts', [directory])
      expect(await script.line()).toBe('starting')
      await eventually('initdb runs', () => existsSync(place.path) && readdirSync(place.path).length > 0)
      await Bun.sleep(delay)
      script.kill('SIGKILL')
      await script.exited
      expect(existsSync(directory)).toBe(false)
    }
    await using running = await startTestPostgres({ directory })
    await using sql = connect(running.url('postgres'))
    expect(await sql`select 1`).toHaveLength(1)
    expect(readdirSync(place.path)).toEqual(['postgres'])
    await eventually("nothing of killed attempts' runs", () => processesWith(`${directory}.unfinished`).length === 0)
  })

  test('data of another major version, and things that are no data, are refused untouched', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    mkdirSync(directory)
    writeFileSync(join(directory, 'PG_VERSION'), '15\n')
    await expect(startTestPostgres({ directory })).rejects.toThrow(
      /was made by Postgres 15, and this ConnText brings Postgres 18/,
    )
    const other = join(place.path, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'precious'), '')
    await expect(startTestPostgres({ directory: other })).rejects.toThrow(/is not empty/)
    expect(readdirSync(other)).toEqual(['precious'])
  })

  test("a stale postmaster.pid whose process id is somebody else's now is no obstacle", async () => {
    using place = temporaryDirectory()
    // So that Postgres runs under the ordinary account.
    chmodSync(place.path, 0o711)
    const directory = join(place.path, 'postgres')
    const first = await startTestPostgres({ directory })
    const lines = readFileSync(join(directory, 'postmaster.pid'), 'utf8').split('\n')
    await first.stop()
    // Under Postgres's account, or else Postgres itself would know that it isn't one.
    await using other = Bun.spawn([...asOrdinaryUser, 'sleep', '60'])
    if (isRoot) await eventually('it runs under that account', () => userOf(other.pid) === ordinaryUser)
    writeFileSync(join(directory, 'postmaster.pid'), [other.pid, ...lines.slice(1)].join('\n'))
    await using second = await startTestPostgres({ directory })
    expect(isRunning(other.pid)).toBe(true)
    expect(isRunning(second.pid)).toBe(true)
  })

  test('a Postgres that outlived its owner is waited for', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    await using owner = runScript('start-postgres.ts', [directory])
    expect(await owner.line()).toBe('starting')
    const pid = Number(await owner.line())
    process.kill(pid, 'SIGSTOP')
    owner.kill('SIGKILL')
    await owner.exited
    const starting = startTestPostgres({ directory })
    const early = await Promise.race([starting.then(() => 'started'), Bun.sleep(500).then(() => 'waiting')]).finally(
      () => process.kill(pid, 'SIGCONT'),
    )
    await using running = await starting
    expect(early).toBe('waiting')
    expect(isRunning(pid)).toBe(false)
    expect(isRunning(running.pid)).toBe(true)
  })
})

describe('the process', () => {
  test('a port that is taken is named', async () => {
    using place = temporaryDirectory()
    const port = await freePort()
    using _listener = Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } })
    const start = startTestPostgres({ directory: join(place.path, 'postgres'), port })
    await expect(start).rejects.toThrow(`can't use the port ${port} of 127.0.0.1: another program has it`)
  })

  test('a connection that outlived it is waited for', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    const first = await startTestPostgres({ directory })
    await using sql = connect(first.url('postgres'))
    const backend = (await sql`select pg_backend_pid() pid`)[0]!.pid
    process.kill(backend, 'SIGSTOP')
    process.kill(first.pid, 'SIGKILL')
    await first.exited
    const starting = startTestPostgres({ directory })
    const early = await Promise.race([starting.then(() => 'started'), Bun.sleep(500).then(() => 'waiting')]).finally(
      () => process.kill(backend, 'SIGCONT'),
    )
    await using running = await starting
    expect(early).toBe('waiting')
    expect(isRunning(running.pid)).toBe(true)
  })

  test('its death is reported, and its data recovers', async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    const first = await startTestPostgres({ directory, durability: 'full' })
    {
      await using sql = connect(first.url('postgres'))
      await sql`create table kept as select * from generate_series(1, 1000)`
    }
    process.kill(first.pid, 'SIGKILL')
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' })
    await first.stop()
    await using second = await startTestPostgres({ directory, port: first.port })
    await using sql = connect(second.url('postgres'))
    expect((await sql`select count(*)::int n from kept`)[0]!.n).toBe(1000)
  })

  test("bound by the watching shell it stops in order, and by its owner's death", async () => {
    using place = temporaryDirectory()
    const directory = join(place.path, 'postgres')
    const first = await startPostgresBoundBy('watchdog', { directory, superuserPassword, durability: 'none' })
    await first.stop()
    expect(await first.exited).toEqual({ code: 0, signal: null })
    await using script = runScript('start-postgres.ts', [directory, 'watchdog'])
    expect(await script.line()).toBe('starting')
    const pid = Number(await script.line())
    expect(isRunning(pid)).toBe(true)
    script.kill('SIGKILL')
    await eventually('Postgres ends', () => !isRunning(pid))
    expect(existsSync(join(directory, 'postmaster.pid'))).toBe(false)
  })

  test('failures are typed', () => {
    expect(new EmbeddedPostgresFailed('x')).toMatchObject({
      code: 'embedded_postgres_failed',
      name: 'EmbeddedPostgresFailed',
    })
  })
})
