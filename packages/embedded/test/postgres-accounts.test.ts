import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openDataDirectory } from '../src/index.ts'
import { linkLibraries } from '../src/postgres/binaries.ts'
import { temporaryDirectory } from './support/directories.ts'
import {
  asOrdinaryUser,
  eventually,
  isRoot,
  isRunning,
  ordinaryUser,
  reachable,
  runScript,
  userOf,
} from './support/processes.ts'
import { connect, startTestPostgres } from './support/stores.ts'

// Each test starts databases; a busy machine takes its time.
setDefaultTimeout(30_000)

async function answers(url: string) {
  await using sql = connect(url)
  return (await sql`select 1 as one`)[0]?.one === 1
}

describe.if(isRoot && reachable)('started by root, Postgres', () => {
  test('runs under an unprivileged account, in a data directory that stays closed', async () => {
    using place = temporaryDirectory()
    chmodSync(place.path, 0o755)
    using data = openDataDirectory(join(place.path, 'data'))
    data.subdirectory('secrets')
    const directory = join(data.path, 'postgres')
    await using running = await startTestPostgres({ directory })
    expect(await answers(running.url('postgres'))).toBe(true)
    expect(userOf(running.pid)).toBe(ordinaryUser)
    expect(statSync(directory)).toMatchObject({ uid: ordinaryUser })
    const look = (path: string) => Bun.spawnSync([...asOrdinaryUser, 'ls', path]).exitCode
    expect(look(data.path)).not.toBe(0)
    expect(look(join(data.path, 'secrets'))).not.toBe(0)
  })

  test('runs in a user namespace where no other account gets to, and changes back', async () => {
    using place = temporaryDirectory()
    // The way to the data is root's alone.
    chmodSync(place.path, 0o700)
    const directory = join(place.path, 'data', 'postgres')
    mkdirSync(join(place.path, 'data'), { mode: 0o711 })
    {
      await using running = await startTestPostgres({ directory })
      expect(await answers(running.url('postgres'))).toBe(true)
      expect(userOf(running.pid)).toBe(0)
    }
    chmodSync(place.path, 0o711)
    {
      await using running = await startTestPostgres({ directory })
      expect(await answers(running.url('postgres'))).toBe(true)
      expect(userOf(running.pid)).toBe(ordinaryUser)
    }
    chmodSync(place.path, 0o700)
    await using running = await startTestPostgres({ directory })
    expect(await answers(running.url('postgres'))).toBe(true)
    expect(userOf(running.pid)).toBe(0)
  })

  test("runs under the account of the data's owner", async () => {
    using place = temporaryDirectory({ owner: 1 })
    await using running = await startTestPostgres({ directory: join(place.path, 'postgres') })
    expect(userOf(running.pid)).toBe(1)
  })
})

test.if(reachable)('started by an ordinary user, Postgres runs under the account of that user', async () => {
  using place = temporaryDirectory(isRoot ? { owner: ordinaryUser } : {})
  await using script = runScript('start-postgres.ts', [join(place.path, 'postgres')], { runAs: asOrdinaryUser })
  expect(await script.line()).toBe('starting')
  const pid = Number(await script.line())
  expect(isRunning(pid)).toBe(true)
  expect(userOf(pid)).toBe(isRoot ? ordinaryUser : process.getuid!())
  script.kill('SIGKILL')
  await eventually('Postgres ends', () => !isRunning(pid))
})

describe('the links between the libraries', () => {
  function fakePackage(path: string) {
    const native = join(path, 'native')
    mkdirSync(join(native, 'lib'), { recursive: true })
    writeFileSync(join(native, 'lib', 'libx.so.1.2'), '')
    const links = ['libx.so', 'libx.so.1'].map((name) => ({
      source: 'native/lib/libx.so.1.2',
      target: `native/lib/${name}`,
    }))
    writeFileSync(join(native, 'pg-symlinks.json'), JSON.stringify(links))
    return native
  }

  test('are made once, in the package', () => {
    using place = temporaryDirectory()
    const native = fakePackage(place.path)
    for (let round = 0; round < 2; round++) expect(linkLibraries(native, join(place.path, 'links'))).toEqual({})
    expect(readdirSync(join(native, 'lib')).sort()).toEqual(['libx.so', 'libx.so.1', 'libx.so.1.2'])
    expect(readdirSync(place.path)).toEqual(['native'])
  })

  test.if(reachable)('go elsewhere when the package is not ours to write', async () => {
    using place = temporaryDirectory()
    chmodSync(place.path, 0o755)
    const native = fakePackage(place.path)
    chmodSync(join(native, 'lib'), 0o555)
    const data = join(place.path, 'data')
    mkdirSync(data)
    if (isRoot) chownSync(data, ordinaryUser, ordinaryUser)
    await using script = runScript('link-libraries.ts', [native, join(data, 'links')], { runAs: asOrdinaryUser })
    const env = JSON.parse(await script.line())
    expect(Object.values(env)).toEqual([`${join(data, 'links')}:${join(native, 'lib')}`])
    for (const name of ['libx.so', 'libx.so.1'])
      expect(lstatSync(join(data, 'links', name)).isSymbolicLink()).toBe(true)
    expect(statSync(join(data, 'links', 'libx.so')).isFile()).toBe(true)
    expect(readdirSync(join(native, 'lib'))).toEqual(['libx.so.1.2'])
    chmodSync(join(native, 'lib'), 0o755)
  })
})
