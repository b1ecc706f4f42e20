// Gets libfaketime, by which a server's clock is set in tests, into the cache: from Debian's packages, unpacked and not
// installed. `npm test` does.
import { locateFaketime } from '@conntext/testing/faketime'
import { getFromDebian } from '../lib/debian-packages.ts'

/** Answers the library, after downloading it (some 60 kB) if need be. @throws PackagesUnavailable */
export const getFaketime = (say: (line: string) => void, signal?: AbortSignal): Promise<string> =>
  getFromDebian(
    {
      name: 'faketime',
      what: "Debian's libfaketime, to set clocks in tests",
      packages: ['libfaketime'],
      files: ['./usr/lib/*-linux-gnu/faketime/*'],
      locate: locateFaketime,
    },
    say,
    signal,
  )
