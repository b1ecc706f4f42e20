import { describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ObjectStoreUnavailable, openFilesystemStore } from '../src/index.ts'
import { streamOf } from '../src/testing/bodies.ts'
import { objectStoreContract, type StoreUnderTest } from '../src/testing/contract.ts'

const isRoot = process.getuid?.() === 0

async function makeStore(): Promise<StoreUnderTest & { root: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'conntext-objects-'))
  const root = join(directory, 'store')
  return {
    root,
    store: await openFilesystemStore(root),
    reopen: () => openFilesystemStore(root),
    countTemporary: async () => readdirSync(join(root, 'tmp')).length,
    [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true, force: true }),
  }
}

objectStoreContract('the file system', makeStore)

/** Paths below a directory, with their modes. */
function tree(root: string) {
  return readdirSync(root, { recursive: true }).map((path) => {
    const stats = statSync(join(root, String(path)))
    return { path: String(path), directory: stats.isDirectory(), mode: stats.mode & 0o777 }
  })
}

const openDescriptors = (root: string) =>
  Bun.spawnSync(['ls', '-l', `/proc/${process.pid}/fd`])
    .stdout.toString()
    .split(`-> ${root}`).length - 1

describe('on disk', () => {
  test('all is private, stays inside, and a deletion prunes its directories', async () => {
    await using place = await makeStore()
    await place.store.put('a/b/c', new Uint8Array(3))
    await place.store.put('a/b/d', new Uint8Array(3))
    for (const { directory, mode } of tree(place.root)) expect(mode).toBe(directory ? 0o700 : 0o600)
    expect(statSync(place.root).mode & 0o777).toBe(0o700)
    await place.store.delete('a/b/c')
    expect(tree(place.root).filter(({ directory }) => !directory)).toHaveLength(1)
    await place.store.delete('a/b/d')
    expect(readdirSync(join(place.root, 'objects'))).toEqual([])
    expect(readdirSync(join(place.root, '..'))).toEqual(['store'])
  })

  test.if(process.platform === 'linux')('no descriptor stays open after an end, a cancel, an error', async () => {
    await using place = await makeStore()
    await place.store.put('a', streamOf(1_000_000))
    await new Response((await place.store.get('a')).body).bytes()
    await (await place.store.get('a')).body.cancel()
    const reader = (await place.store.get('a')).body.getReader()
    await reader.read()
    expect(openDescriptors(place.root)).toBe(1)
    await reader.cancel()
    await place.store.get('a', { range: { start: 9_999_999 } }).catch(() => {})
    await place.store.put('b', streamOf(1_000_000, { failAfter: 1 })).catch(() => {})
    expect(openDescriptors(place.root)).toBe(0)
  })

  test.each(['put', 'get'])('%s holds a bounded part of a large object', async (direction) => {
    await using place = await makeStore()
    const script = fileURLToPath(new URL('support/measure-memory.ts', import.meta.url))
    if (direction === 'get') await place.store.put('big', streamOf(400 * 2 ** 20))
    const { stdout } = Bun.spawnSync([process.execPath, '--no-install', script, place.root, direction, '400'])
    expect(Number(stdout.toString())).toBeLessThan(200)
    expect((await place.store.head('big')).size).toBe(400 * 2 ** 20)
  })

  test.if(process.platform === 'linux')('a body that somebody dropped gives its descriptor back', async () => {
    await using place = await makeStore()
    await place.store.put('a', streamOf(1_000_000))
    const drop = async () => {
      for (let i = 0; i < 20; i++) await place.store.get('a')
    }
    await drop()
    expect(openDescriptors(place.root)).toBeGreaterThan(0)
    for (let i = 0; i < 200 && openDescriptors(place.root) > 2; i++) {
      Bun.gc(true)
      await Bun.sleep(10)
    }
    expect(openDescriptors(place.root)).toBeLessThanOrEqual(2)
  })

  test('sweeps what interrupted uploads left, and nothing younger', async () => {
    await using place = await makeStore()
    await place.store.put('kept', new Uint8Array(1))
    const [old, young] = ['old', 'young'].map((name) => join(place.root, 'tmp', name)) as [string, string]
    for (const path of [old, young]) writeFileSync(path, '')
    const hourAgo = Date.now() / 1000 - 3600
    utimesSync(old, hourAgo, hourAgo)
    expect(await place.store.sweepTemporary(600_000)).toBe(1)
    expect([existsSync(old), existsSync(young)]).toEqual([false, true])
    expect(await place.store.sweepTemporary(-1)).toBe(1)
    expect((await place.store.list()).objects).toHaveLength(1)
  })
})

describe('a store that does not work', () => {
  test('cannot be opened on a file', async () => {
    await using place = await makeStore()
    const file = join(place.root, 'file')
    writeFileSync(file, '')
    await expect(openFilesystemStore(file)).rejects.toThrow(ObjectStoreUnavailable)
  })

  test.if(!isRoot)('fails its check when it may not be written', async () => {
    await using place = await makeStore()
    chmodSync(join(place.root, 'tmp'), 0o500)
    await expect(place.store.check()).rejects.toThrow()
  })

  test('fails its check when its directory is gone', async () => {
    await using place = await makeStore()
    rmSync(place.root, { recursive: true })
    await expect(place.store.check()).rejects.toThrow()
  })

  const canMount = Bun.spawnSync([
    'unshare',
    '--user',
    '--map-root-user',
    '--mount',
    'mount',
    '-t',
    'tmpfs',
    'tmpfs',
    '/mnt',
  ])
  test.if(process.platform === 'linux' && canMount.exitCode === 0)('says that the disk is full', async () => {
    await using place = await makeStore()
    const script = fileURLToPath(new URL('support/fill-disk.ts', import.meta.url))
    const mountAndRun = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" --no-install "$3" "$1"'
    const command = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', mountAndRun]
    const { stdout, stderr } = Bun.spawnSync([...command, 'sh', place.root, process.execPath, script])
    expect(stderr.toString()).toBe('')
    expect(JSON.parse(stdout.toString())).toEqual({
      codes: ['object_store_full', 'object_store_full', 'object_store_full'],
      temporary: 0,
      keys: ['small'],
      check: 'works',
    })
  })
})
