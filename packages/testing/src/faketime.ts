import { existsSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianCache, unpackedVersions } from './debian.ts'

const LIBRARY = 'faketime/libfaketimeMT.so.1'

/** The library that lets a process see another time, of this machine or in the cache, or nothing. `npm test` gets it. */
export function locateFaketime(cache: string = debianCache()): string | undefined {
  return ['/', ...unpackedVersions('faketime', cache)]
    .flatMap((folder) => {
      const found = [...new Bun.Glob('usr/lib/*-linux-gnu').scanSync({ cwd: folder, onlyFiles: false })]
      return found.map((path) => join(folder, path, LIBRARY))
    })
    .find((path) => existsSync(path) && runs(path))
}

/** A library of another release of the system can't be loaded, and then the time is the usual one. */
const runs = (library: string): boolean => {
  const env = { LD_PRELOAD: library, FAKETIME: '+1000d', DONT_FAKE_MONOTONIC: '1' }
  const print = ['-e', 'console.log(Date.now())']
  const { stdout } = Bun.spawnSync([process.execPath, ...print], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  return Number(stdout.toString()) > Date.now() + 500 * 86_400_000
}

/** The clock of processes that are started with its `env`: it is right until it is set. Time passes evenly all the same. */
export async function shiftableClock(library: string) {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-clock-'))
  const file = join(directory, 'offset')
  const write = async (seconds: number) => {
    // In one step: it is read at every look at the clock.
    await writeFile(`${file}.new`, `${seconds < 0 ? '' : '+'}${seconds}\n`)
    await rename(`${file}.new`, file)
  }
  await write(0)
  return {
    env: { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1' },
    /** So far it is ahead of the true time from now on. */
    set: write,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}
