// Gets Ceph's S3 server, against which the object store is tested, into the cache: from Debian's packages, unpacked and
// not installed. `npm test` does.
import { locateCeph, radosgwPrograms } from '@conntext/testing/radosgw'
import { getFromDebian } from '../lib/debian-packages.ts'

/** Answers the folder of a Ceph that runs, after downloading one (some 70 MB) if need be. @throws PackagesUnavailable */
export async function getRadosgw(say: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const { folder } = await getFromDebian(
    {
      name: 'radosgw',
      what: "Ceph's packages, to test against",
      packages: ['radosgw', 'ceph-base', 'ceph-common', 'ceph-mon', 'ceph-osd'],
      files: [...radosgwPrograms.map((name) => `./usr/bin/${name}`), './usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*'],
      locate: locateCeph,
    },
    say,
    signal,
  )
  return folder
}
