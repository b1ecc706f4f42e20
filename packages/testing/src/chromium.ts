import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianCache, environmentOf, librariesIn, unpackedVersions, versionIn } from './debian.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
// Headless as it is now came with it.
const OLDEST = '112.0.0'

/** A browser, and the environment in which it finds its libraries and fonts; its own where that is the machine's. */
export type Chromium = { path: string; env?: Record<string, string> }

/**
 * The browser of this machine, or the newest one in the cache that runs here, or nothing: `CONNTEXT_TEST_CHROMIUM` names
 * another. `npm test` puts one there.
 */
export function locateChromium(cache: string = debianCache()): Chromium | undefined {
  const named = process.env.CONNTEXT_TEST_CHROMIUM
  if (named) return { path: named }
  const installed = NAMES.map((name) => Bun.which(name)).find((path) => path !== null)
  if (installed) return { path: installed }
  return unpackedVersions('chromium', cache)
    .map(chromiumIn)
    .find((chromium) => chromium && runs(chromium))
}

/** The browser in a folder, where it is complete. */
export function chromiumIn(folder: string): Chromium | undefined {
  const path = join(folder, 'usr/lib/chromium/chromium')
  if (!existsSync(path)) return undefined
  const settings = join(folder, 'etc/fonts')
  const fonts = {
    XDG_DATA_HOME: join(folder, 'usr/share'),
    ...(existsSync(settings) && { FONTCONFIG_PATH: settings }),
  }
  const libraries = librariesIn(folder)
  // One of them looks for a part of its own where it would be installed.
  return { path, env: environmentOf([...libraries, ...libraries.map((one) => join(one, 'pulseaudio'))], fonts) }
}

function runs({ path, env }: Chromium): boolean {
  const { exitCode, stdout } = Bun.spawnSync([path, '--version'], {
    ...(env && { env }),
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return exitCode === 0 && Bun.semver.order(versionIn(stdout.toString()), OLDEST) >= 0
}
