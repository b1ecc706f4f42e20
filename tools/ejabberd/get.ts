// Gets ejabberd, which `bun run bench fanout` measures against, into the cache: from Debian's packages, unpacked and not
// installed. Prints where it is.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { radosgwCache } from '@conntext/testing/radosgw'
import { PackagesUnavailable, type Unpacking, unpackPackages } from '../lib/debian-packages.ts'
import { acquireLock } from '../lib/lock.ts'

type Say = (line: string) => void

// What they need and the machine has already does not come along by itself.
const packages: Unpacking['packages'] = ['ejabberd', 'erlang-base', 'libexpat1', 'libyaml-0-2']
const files = [
  './usr/lib/erlang/*',
  ...['./usr/lib', './lib'].flatMap((folder) =>
    ['*-linux-gnu/lib*.so.*', '*-linux-gnu/ejabberd-*'].map((one) => `${folder}/${one}`),
  ),
]

const newest = (folder: string): string | undefined => {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => /^ejabberd-[^/]*\d$/.test(name)) : []
  return names.sort((one, other) => Bun.semver.order(other, one)).map((name) => join(folder, name))[0]
}

/** Answers a folder with ejabberd and Erlang, after downloading them (some 20 MB) if need be. @throws PackagesUnavailable */
export async function getEjabberd(say: Say, signal?: AbortSignal): Promise<string> {
  const folder = radosgwCache()
  const present = newest(folder)
  if (present) return present
  await using _lock = await acquireLock(join(folder, 'ejabberd.lock'), () => say('another run is getting it; waiting'))
  const meanwhile = newest(folder)
  if (meanwhile) return meanwhile
  say("downloading ejabberd's packages, to measure against: once")
  const name = (version: string) => `ejabberd-${version.replace(/^\d+:/, '')}`
  return unpackPackages({ packages, files, folder, name, signal })
}

if (import.meta.main) {
  try {
    console.log(await getEjabberd((line) => console.error(line)))
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    console.error(error.message)
    process.exit(1)
  }
}
