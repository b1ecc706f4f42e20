// Gets Chromium, in which passkeys, pages and calls are tested, into the cache: from Debian's packages, unpacked and not
// installed. `npm test` does.
import { locateChromium } from '@conntext/testing/chromium'
import { getFromDebian } from '../lib/debian-packages.ts'

/** Answers a browser that runs, after downloading one (some 100 MB) if need be. @throws PackagesUnavailable */
export async function getChromium(say: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const { path } = await getFromDebian(
    {
      name: 'chromium',
      what: "Chromium's packages, to test in a browser (some 100 MB)",
      packages: ['chromium', 'fonts-liberation'],
      files: [
        './usr/lib/chromium/*',
        './usr/lib/*-linux-gnu/*',
        './lib/*-linux-gnu/*',
        './etc/fonts/*',
        './usr/share/fontconfig/*',
        './usr/share/fonts/*',
      ],
      locate: locateChromium,
    },
    say,
    signal,
  )
  return path
}
