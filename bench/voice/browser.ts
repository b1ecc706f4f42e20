import { fileURLToPath } from 'node:url'
import { CALL_FLAGS, chromiumPath, servePage, startChromium } from '@conntext/testing/browser'
import type { BenchPage } from './page.ts'
import type { Place } from './peer.ts'

type There = { page: BenchPage }

/**
 * Two pages of one browser: in one somebody sends a camera into the calls of all places, in the other those who are new
 * come into them. Undefined where this machine has no browser, or none that starts.
 */
export async function startBrowser(): Promise<Awaited<ReturnType<typeof open>> | undefined> {
  const path = chromiumPath()
  if (path === undefined) return leftOut('there is no Chromium; CONNTEXT_TEST_CHROMIUM names one')
  const chromium = await startChromium(path, CALL_FLAGS).catch(() => undefined)
  return chromium ? open(chromium) : leftOut(`${path} doesn't start`)
}

function leftOut(why: string): undefined {
  console.error(`  the first decoded frame is left out: ${why}`)
}

async function open(chromium: Awaited<ReturnType<typeof startChromium>>) {
  const script = await servePage(fileURLToPath(new URL('page.ts', import.meta.url)))
  const [sender, viewer] = [await chromium.open(script.url), await chromium.open(script.url)]
  return {
    sendCamera: (place: Place, index: number) =>
      sender.run(async (given) => (globalThis as unknown as There).page.sendCamera(given), { place, index }),
    timeToFirstFrame: (place: Place, index: number) =>
      viewer.run(async (given) => (globalThis as unknown as There).page.timeToFirstFrame(given), { place, index }),
    async [Symbol.asyncDispose]() {
      await chromium[Symbol.asyncDispose]()
      await script[Symbol.asyncDispose]()
    },
  }
}
