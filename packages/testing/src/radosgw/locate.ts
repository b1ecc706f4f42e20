import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianCache, environmentOf, unpackedVersions } from '../debian.ts'

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

/** The newest Ceph in the cache that runs here, or nothing. `npm test` puts it there. */
export function locateCeph(cache: string = debianCache()): Ceph | undefined {
  for (const folder of unpackedVersions('radosgw', cache)) {
    const ceph = cephIn(folder)
    if (ceph && runs(ceph)) return ceph
  }
  return undefined
}

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

export const cephEnvironment = ({ folder, libraries }: Ceph, extra: Record<string, string> = {}) =>
  environmentOf(libraries, { PATH: `${join(folder, 'usr/bin')}:${process.env.PATH ?? '/usr/bin:/bin'}`, ...extra })
