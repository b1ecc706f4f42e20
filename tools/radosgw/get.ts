// Gets Ceph's S3 server, against which the object store is tested, into the cache: from Debian's packages, unpacked and
// not installed. `npm test` does.
import { join } from 'node:path'
import { locateCeph, radosgwCache, radosgwPrograms } from '@conntext/testing/radosgw'
import { PackagesUnavailable, type Unpacking, unpackPackages } from '../lib/debian-packages.ts'
import { acquireLock } from '../lib/lock.ts'

type Say = (line: string) => void

const packages: Unpacking['packages'] = ['radosgw', 'ceph-base', 'ceph-common', 'ceph-mon', 'ceph-osd']
const files = [...radosgwPrograms.map((name) => `./usr/bin/${name}`), './usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*']

/** Answers the folder of a Ceph that runs, after downloading one (some 70 MB) if need be. @throws PackagesUnavailable */
export async function getRadosgw(say: Say, signal?: AbortSignal): Promise<string> {
  const folder = radosgwCache()
  const present = locateCeph(folder)
  if (present) return present.folder
  await using _lock = await acquireLock(join(folder, 'radosgw.lock'), () => say('another run is getting it; waiting'))
  const meanwhile = locateCeph(folder)
  if (meanwhile) return meanwhile.folder
  say("downloading Ceph's packages, to test against: once")
  await unpackPackages({ packages, files, folder, name: (version) => `radosgw-${version}`, signal })
  const found = locateCeph(folder)
  if (!found) throw new PackagesUnavailable("Ceph was downloaded, but doesn't run here")
  return found.folder
}
