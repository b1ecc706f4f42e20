import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Where tools/lib/debian-packages keeps what it gets: one folder a version of each. */
export function debianCache(env: Record<string, string | undefined> = process.env): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'conntext')
}

/** The first version of three numbers in a text. */
export const versionIn = (text: string): string => /\d+\.\d+\.\d+/.exec(text)?.[0] ?? '0.0.0'

/** What is in the cache under a name, `<name>-<version>` each: whole paths, the newest first. */
export function unpackedVersions(name: string, cache: string): string[] {
  if (!existsSync(cache)) return []
  const names = readdirSync(cache).filter((one) => one.startsWith(`${name}-`) && /\d$/.test(one))
  return names.sort((one, other) => Bun.semver.order(versionIn(other), versionIn(one))).map((one) => join(cache, one))
}

/** The folders of an unpacked package's libraries. */
export const librariesIn = (folder: string): string[] =>
  ['usr/lib/*-linux-gnu', 'lib/*-linux-gnu'].flatMap((pattern) =>
    [...new Bun.Glob(pattern).scanSync({ cwd: folder, onlyFiles: false })].map((path) => join(folder, path)),
  )

/**
 * What programs of other people's are started with: nothing of ours but the path and the folders of their libraries;
 * settings for tests are no concern of theirs.
 */
export function environmentOf(libraries: string[], extra: Record<string, string> = {}): Record<string, string> {
  const inherited = process.env.LD_LIBRARY_PATH ? [process.env.LD_LIBRARY_PATH] : []
  const path = [...libraries, ...inherited].join(':')
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    LC_ALL: 'C.UTF-8',
    ...(path !== '' && { LD_LIBRARY_PATH: path }),
    // By this, what a test run leaves behind is found.
    ...(process.env.CONNTEXT_TEST_RUN && { CONNTEXT_TEST_RUN: process.env.CONNTEXT_TEST_RUN }),
    ...extra,
  }
}
