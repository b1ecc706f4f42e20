import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The programs that an S3 server of Ceph's is made of. */
export const radosgwPrograms = ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'monmaptool', 'osdmaptool']

/** Ceph's programs and libraries, unpacked in a folder of their own. */
export interface Ceph {
  folder: string
  /** Of the libraries, in the order in which they are looked for. */
  libraries: string[]
  /** The folder that holds Ceph's plugins. */
  plugins: string
  classes: string
}

/** Where tools/radosgw keeps what it gets: one folder a version. */
export function radosgwCache(env: Record<string, string | undefined> = process.env): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'conntext')
}

/** The newest Ceph in the cache that runs here, or nothing. `npm test` puts it there. */
export function locateCeph(cache: string = radosgwCache()): Ceph | undefined {
  if (!existsSync(cache)) return undefined
  const names = readdirSync(cache).filter((name) => /^radosgw-[^/]*\d$/.test(name))
  const newestFirst = names.sort((one, other) => Bun.semver.order(versionIn(other), versionIn(one)))
  for (const name of newestFirst) {
    const ceph = cephIn(join(cache, name))
    if (ceph && runs(ceph)) return ceph
  }
  return undefined
}

const versionIn = (name: string): string => /\d+\.\d+\.\d+/.exec(name)?.[0] ?? '0.0.0'

/** The Ceph in a folder, where it is complete. */
export function cephIn(folder: string): Ceph | undefined {
  if (!radosgwPrograms.every((name) => existsSync(join(folder, 'usr/bin', name)))) return undefined
  const found = [...new Bun.Glob('usr/lib/*/ceph').scanSync({ cwd: folder, onlyFiles: false })][0]
  if (found === undefined) return undefined
  const plugins = join(folder, found)
  const usr = join(plugins, '..')
  const libraries = [usr, join(folder, 'lib', usr.slice(usr.lastIndexOf('/') + 1)), plugins]
  return { folder, libraries, plugins, classes: join(usr, 'rados-classes') }
}

/** Whether all libraries are found: those of another release of the system may be missing. */
function runs(ceph: Ceph): boolean {
  return radosgwPrograms.every((name) => {
    const command = [join(ceph.folder, 'usr/bin', name), '--version']
    // Some take no such option; what can't be loaded ends with 127.
    return (
      Bun.spawnSync(command, { env: cephEnvironment(ceph), stdio: ['ignore', 'ignore', 'ignore'] }).exitCode !== 127
    )
  })
}

/** Nothing of ours but the path and the folders: settings for tests are no concern of theirs. */
export function cephEnvironment({ folder, libraries }: Ceph, extra: Record<string, string> = {}) {
  const inherited = process.env.LD_LIBRARY_PATH ? [process.env.LD_LIBRARY_PATH] : []
  return {
    PATH: `${join(folder, 'usr/bin')}:${process.env.PATH ?? '/usr/bin:/bin'}`,
    LD_LIBRARY_PATH: [...libraries, ...inherited].join(':'),
    LC_ALL: 'C.UTF-8',
    // By this, what a test run leaves behind is found.
    ...(process.env.CONNTEXT_TEST_RUN && { CONNTEXT_TEST_RUN: process.env.CONNTEXT_TEST_RUN }),
    ...extra,
  }
}
