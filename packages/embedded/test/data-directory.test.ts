import { describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DataDirectoryInUse, DataDirectoryUnusable, openDataDirectory } from '../src/index.ts'
import { temporaryDirectory } from './support/directories.ts'
import { asOrdinaryUser, isRoot, ordinaryUser, reachable, runScript } from './support/processes.ts'

const modeOf = (path: string) => statSync(path).mode & 0o777
const ownMode = isRoot ? 0o711 : 0o700

describe('a new data directory', () => {
  test('is made, private, with private subdirectories', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'deep', 'data')
    using data = openDataDirectory(path)
    expect(data.path).toBe(path)
    expect(modeOf(path)).toBe(ownMode)
    expect(modeOf(data.subdirectory('postgres'))).toBe(0o700)
    expect(data.subdirectory('postgres')).toBe(join(path, 'postgres'))
    expect(modeOf(join(path, 'lock.db'))).toBe(0o600)
    for (const name of ['..', 'a/b', '', '.hidden']) expect(() => data.subdirectory(name)).toThrow(TypeError)
  })

  test('that was open to others is closed', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'data')
    mkdirSync(path, { mode: 0o777 })
    chmodSync(path, 0o777)
    openDataDirectory(path).close()
    expect(modeOf(path)).toBe(ownMode)
  })
})

describe('refuses, and leaves alone,', () => {
  test('a file', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'file')
    writeFileSync(path, 'precious', { mode: 0o644 })
    expect(() => openDataDirectory(path)).toThrow(DataDirectoryUnusable)
    expect(() => openDataDirectory(join(path, 'below'))).toThrow(DataDirectoryUnusable)
    expect(modeOf(path)).toBe(0o644)
  })

  test('a directory with other things in it', () => {
    using directory = temporaryDirectory()
    writeFileSync(join(directory.path, 'precious'), '')
    chmodSync(directory.path, 0o755)
    expect(() => openDataDirectory(directory.path)).toThrow(/is not empty and holds no ConnText data/)
    expect(modeOf(directory.path)).toBe(0o755)
    expect(existsSync(join(directory.path, 'lock.db'))).toBe(false)
  })

  test.if(isRoot && reachable)("another account's directory, when not root", async () => {
    using directory = temporaryDirectory()
    chmodSync(directory.path, 0o777)
    await using script = runScript('hold-directory.ts', [directory.path], { runAs: asOrdinaryUser })
    expect(await script.line()).toContain('belongs to another account (uid 0)')
  })

  test.if(reachable)('a directory that may not be written', async () => {
    using directory = temporaryDirectory(isRoot ? { owner: ordinaryUser } : {})
    chmodSync(directory.path, 0o500)
    // Its owner may change the mode, so it is put right; a parent that may not be written can't be.
    await using script = runScript('hold-directory.ts', [join(directory.path, 'data')], { runAs: asOrdinaryUser })
    expect(await script.line()).toBe(`The data directory ${join(directory.path, 'data')} can't be created (EACCES).`)
  })
})

describe('the lock', () => {
  test('keeps a second process out, and goes with kill -9', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'data')
    await using first = runScript('hold-directory.ts', [path])
    expect(await first.line()).toBe('open')
    await using second = runScript('hold-directory.ts', [path])
    expect(await second.line()).toBe(
      `The data directory ${path} is in use by another ConnText server (process ${first.pid}). ` +
        'Stop it first, or set CONNTEXT_DATA to another directory.',
    )
    first.kill('SIGKILL')
    await first.exited
    await using third = runScript('hold-directory.ts', [path])
    expect(await third.line()).toBe('open')
  })

  test('keeps a second open in the same process out, which costs the first nothing', async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'data')
    using data = openDataDirectory(path)
    expect(() => openDataDirectory(path)).toThrow(DataDirectoryInUse)
    await using other = runScript('hold-directory.ts', [path])
    expect(await other.line()).toContain(`(process ${process.pid})`)
    data.close()
    data.close()
    openDataDirectory(path).close()
  })
})
