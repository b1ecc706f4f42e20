// Gets docker-compose, which reads the compose files as a reader that isn't ours, into the cache: from Debian's packages,
// unpacked and not installed. `npm test` does. It is of the first generation (1.29), which knows what they use but for
// their `name`.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianCache, unpackedVersions } from '@conntext/testing/debian'
import { getFromDebian } from '../lib/debian-packages.ts'

const python = '/usr/bin/python3'
const name = 'docker-compose'

export interface DockerCompose {
  command: string[]
  env: Record<string, string>
}

/** The one in the cache, where it runs. */
export function locateDockerCompose(): DockerCompose | undefined {
  if (!existsSync(python)) return undefined
  for (const folder of unpackedVersions(name, debianCache())) {
    const usr = join(folder, 'usr')
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', PYTHONPATH: join(usr, 'lib/python3/dist-packages') }
    const command = [python, join(usr, 'bin/docker-compose')]
    const { exitCode } = Bun.spawnSync([...command, 'version'], { env, stdio: ['ignore', 'ignore', 'ignore'] })
    if (exitCode === 0) return { command, env }
  }
  return undefined
}

/** @throws PackagesUnavailable */
export async function getDockerCompose(say: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const { command } = await getFromDebian(
    {
      name,
      what: "Debian's docker-compose, to check the compose files with",
      // The latter come along only where they are named: the machine may have them for another Python.
      packages: ['docker-compose', 'python3-distro', 'python3-yaml', 'python3-six', 'python3-packaging'],
      files: ['./usr/bin/docker-compose', './usr/lib/python3/dist-packages/*'],
      locate: locateDockerCompose,
    },
    say,
    signal,
  )
  return command.join(' ')
}
