// Takes packages from the Debian mirror that this machine is set up with, without installing them and without root:
// apt resolves, downloads and checks, dpkg-deb unpacks.
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debianCache } from '@conntext/testing/debian'
import { acquireLock } from './lock.ts'

/** Why packages could not be had, in words for whoever runs this. */
export class PackagesUnavailable extends Error {}

export interface Unpacking {
  /** What is wanted, the one whose version counts first; what they need and this machine lacks comes along. */
  packages: [string, ...string[]]
  /** Which files are kept, as patterns of tar's: `./usr/bin/x`, `./usr/lib/*`. */
  files: string[]
  /** Where to unpack to. Whoever calls sees to it that nobody else does the same there. */
  folder: string
  /** The name within it, which appears in one step. */
  name(version: string): string
  signal?: AbortSignal | undefined
}

/** Something of Debian's that belongs into the cache. */
export interface Wanted<T> extends Pick<Unpacking, 'packages' | 'files'> {
  /** The folder in the cache is `<name>-<version>`. */
  name: string
  /** What it is and what for, for a sentence: `Redis's packages, to test against`. */
  what: string
  /** Finds it, where it runs here. */
  locate(): T | undefined
}

/** Answers it, after downloading it if need be; one run at a time. @throws PackagesUnavailable */
export async function getFromDebian<T>(
  { name, what, locate, ...wanted }: Wanted<T>,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<T> {
  const present = locate()
  if (present) return present
  const folder = debianCache()
  await using _lock = await acquireLock(join(folder, `${name}.lock`), () => say('another run is getting it; waiting'))
  const meanwhile = locate()
  if (meanwhile) return meanwhile
  say(`downloading ${what}: once`)
  // Without the epoch: a colon would end a path to its libraries.
  const called = (version: string) => `${name}-${version.replace(/^\d+:/, '')}`
  await unpackPackages({ ...wanted, folder, name: called, signal })
  const found = locate()
  if (!found) throw new PackagesUnavailable(`${name} was downloaded, but doesn't run here`)
  return found
}

const programs = ['apt-get', 'dpkg-deb', 'tar']
const limitMs = 300_000
const workPrefix = '.packages-'

/** Downloads packages, unpacks files of theirs, and answers where they are. @throws PackagesUnavailable */
export async function unpackPackages({ packages, files, folder, name, signal }: Unpacking): Promise<string> {
  const missing = programs.find((program) => !Bun.which(program))
  if (missing) throw new PackagesUnavailable(`they come from Debian's packages, and this machine has no ${missing}`)
  await mkdir(folder, { recursive: true })
  // What runs that were killed have left.
  const left = (await readdir(folder)).filter((one) => one.startsWith(workPrefix))
  for (const one of left) await rm(join(folder, one), { recursive: true, force: true })
  const work = await mkdtemp(join(folder, workPrefix))
  try {
    const archives = await download(packages, work, signal)
    const root = join(work, 'root')
    await mkdir(root)
    for (const archive of archives) await unpack(join(work, 'archives', archive), root, files)
    await chmod(root, 0o755)
    const target = join(folder, name(versionOf(packages[0], archives)))
    await rm(target, { recursive: true, force: true })
    await rename(root, target)
    return target
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** From the archive's name: `name_version_architecture.deb`. */
function versionOf(name: string, archives: string[]): string {
  const archive = archives.find((one) => one.startsWith(`${name}_`)) ?? ''
  return decodeURIComponent(archive.split('_')[1] ?? 'unknown')
}

/** With the lists of packages that are here; where these are missing or outdated, with lists of our own. */
async function download(packages: string[], work: string, signal: AbortSignal | undefined): Promise<string[]> {
  await mkdir(join(work, 'archives', 'partial'), { recursive: true })
  const options = [
    // In folders of ours: no lock of the system's is needed, and none held.
    'Debug::NoLocking=true',
    `Dir::Cache=${work}`,
    'Dir::Cache::archives=archives',
    'Acquire::Retries=1',
    'Acquire::http::Timeout=15',
    'Acquire::https::Timeout=15',
    // As root, apt would become a user who may not write here.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ]
  const apt = (own: string[], ...command: string[]) =>
    run(['apt-get', ...[...options, ...own].flatMap((option) => ['-o', option]), ...command], signal)
  // Those that are installed are downloaded all the same.
  const install = ['install', '--yes', '--download-only', '--no-install-recommends', '--reinstall', ...packages]
  let { exitCode, output } = await apt([], ...install)
  if (exitCode !== 0 && !signal?.aborted) {
    const lists = join(work, 'lists')
    await mkdir(join(lists, 'partial'), { recursive: true })
    const own = [`Dir::State::lists=${lists}`]
    await apt(own, 'update')
    ;({ exitCode, output } = await apt(own, ...install))
  }
  if (exitCode !== 0) throw new PackagesUnavailable(`${packages[0]} could not be downloaded: ${reasonIn(output)}`)
  return (await readdir(join(work, 'archives'))).filter((name) => name.endsWith('.deb'))
}

const reasonIn = (output: string): string => /^E: (.*)$/m.exec(output)?.[1] ?? 'apt-get was ended'

/** No owners, no special bits, nothing but what was asked for: these are programs of other people's. */
async function unpack(archive: string, root: string, files: string[]): Promise<void> {
  const script = 'dpkg-deb --fsys-tarfile "$0" | tar -x --no-same-owner --no-same-permissions --wildcards "$@"'
  // tar complains where a package has none of the files.
  await run(['/bin/sh', '-c', script, archive, '-C', root, ...files])
}

async function run(command: string[], signal?: AbortSignal) {
  const child = Bun.spawn(command, {
    env: { ...process.env, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
    ...(signal && { signal }),
  })
  const [output, faults] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  return { exitCode: await child.exited, output: output + faults }
}
