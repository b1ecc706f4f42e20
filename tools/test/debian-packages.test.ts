import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PackagesUnavailable, unpackPackages } from '../lib/debian-packages.ts'

const isDebian = Boolean(Bun.which('apt-get') && Bun.which('dpkg-deb'))
const { APT_CONFIG } = process.env

let folder: string
let target: string

// apt sees the mirror in `folder/mirror` alone, and has no lists of it yet.
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'conntext-packages-'))
  target = join(folder, 'target')
  for (const name of ['mirror', 'lists/partial', 'target/.packages-left']) {
    await mkdir(join(folder, name), { recursive: true })
  }
  await Bun.write(join(folder, 'sources.list'), `deb [trusted=yes] copy:${folder}/mirror ./\n`)
  await Bun.write(join(folder, 'mirror/Packages'), '')
  const settings = {
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(folder, 'lists'),
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`)
  process.env.APT_CONFIG = join(folder, 'apt.conf')
  await Bun.write(process.env.APT_CONFIG, lines.join('\n'))
})

afterEach(async () => {
  if (APT_CONFIG === undefined) delete process.env.APT_CONFIG
  else process.env.APT_CONFIG = APT_CONFIG
  await rm(folder, { recursive: true, force: true })
})

/** Puts a package with two programs, one of them for root, on the mirror. */
async function publish(name: string, version: string): Promise<void> {
  const root = join(folder, 'build')
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n`
  await Bun.write(join(root, 'DEBIAN/control'), control)
  for (const program of ['wanted', 'other']) await Bun.write(join(root, 'usr/bin', program), program)
  await chmod(join(root, 'usr/bin/wanted'), 0o4755)
  const archive = join(folder, 'mirror', `${name}_${version}_all.deb`)
  const built = Bun.spawnSync(['dpkg-deb', '--root-owner-group', '--build', root, archive])
  expect(built.exitCode).toBe(0)
  const bytes = await Bun.file(archive).bytes()
  const sha256 = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
  const place = `Filename: ./${name}_${version}_all.deb\nSize: ${bytes.length}\nSHA256: ${sha256}\n`
  await Bun.write(join(folder, 'mirror/Packages'), `${control}${place}\n`)
}

const unpack = (name: string) =>
  unpackPackages({
    packages: [name],
    files: ['./usr/bin/wanted', './usr/lib/*'],
    folder: target,
    name: (version) => `${name}-${version}`,
  })

test.skipIf(!isDebian)('unpacks what was asked for, without special bits, under its version', async () => {
  await publish('conntext-test', '1.2-3')
  expect(await unpack('conntext-test')).toBe(join(target, 'conntext-test-1.2-3'))
  // What a run that was killed had left is gone too.
  expect(await readdir(target)).toEqual(['conntext-test-1.2-3'])
  const bin = join(target, 'conntext-test-1.2-3/usr/bin')
  expect(await readdir(bin)).toEqual(['wanted'])
  expect((await stat(join(bin, 'wanted'))).mode & 0o7777).toBe(0o755)
})

test.skipIf(!isDebian)('what nobody has is unavailable, and leaves nothing', async () => {
  await expect(unpack('conntext-no-such')).rejects.toThrow(PackagesUnavailable)
  expect(await readdir(target)).toEqual([])
})

test.skipIf(!isDebian)('what is not as the list says is refused', async () => {
  await publish('conntext-test', '1.2-3')
  const archive = join(folder, 'mirror/conntext-test_1.2-3_all.deb')
  const bytes = await Bun.file(archive).bytes()
  bytes[bytes.length - 1]! ^= 1
  await Bun.write(archive, bytes)
  await expect(unpack('conntext-test')).rejects.toThrow(PackagesUnavailable)
  expect(await readdir(target)).toEqual([])
})
