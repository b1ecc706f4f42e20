// Gets ejabberd, which `bun run bench fanout` measures against, into the cache: from Debian's packages, unpacked and not
// installed. Prints where it is.
import { debianCache, unpackedVersions } from '@conntext/testing/debian'
import { getFromDebian, PackagesUnavailable, type Unpacking } from '../lib/debian-packages.ts'

// What they need and the machine has already does not come along by itself.
const packages: Unpacking['packages'] = ['ejabberd', 'erlang-base', 'libexpat1', 'libyaml-0-2']
const files = [
  './usr/lib/erlang/*',
  ...['./usr/lib', './lib'].flatMap((folder) =>
    ['*-linux-gnu/lib*.so.*', '*-linux-gnu/ejabberd-*'].map((one) => `${folder}/${one}`),
  ),
]

/** Answers a folder with ejabberd and Erlang, after downloading them (some 20 MB) if need be. @throws PackagesUnavailable */
export const getEjabberd = (say: (line: string) => void, signal?: AbortSignal): Promise<string> =>
  getFromDebian(
    {
      name: 'ejabberd',
      what: "ejabberd's packages, to measure against",
      packages,
      files,
      locate: () => unpackedVersions('ejabberd', debianCache())[0],
    },
    say,
    signal,
  )

if (import.meta.main) {
  try {
    console.log(await getEjabberd((line) => console.error(line)))
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    console.error(error.message)
    process.exit(1)
  }
}
