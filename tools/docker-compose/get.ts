// Gets docker-compose, which reads the compose files as a reader that isn't ours, into the cache: from Debian's packages,
// unpacked and not installed. `npm test` does. It is of the first generation (1.29), which knows what they use but for
// their `name`.
import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { PackagesUnavailable, unpackPackages } from '../lib/debian-packages.ts'
import { acquireLock } from '../lib/lock.ts'

type Say = (line: string) => void

const python = '/usr/bin/python3'
const prefix = 'docker-compose-'

const cache = () => join(process.env.XDG_CACHE_HOME || join(process.env.HOME || homedir(), '.cache'), 'conntext')

export interface DockerCompose {
  command: string[]
  env: Record<string, string>
}

/** The one in the cache, where it runs. */
export function locateDockerCompose(): DockerCompose | undefined {
  if (!existsSync(cache()) || !existsSync(python)) return undefined
  for (const name of readdirSync(cache()).filter((one) => one.startsWith(prefix))) {
    const usr = join(cache(), name, 'usr')
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', PYTHONPATH: join(usr, 'lib/python3/dist-packages') }
    const command = [python, join(usr, 'bin/docker-compose')]
    const { exitCode } = Bun.spawnSync([...command, 'version'], { env, stdio: ['ignore', 'ignore', 'ignore'] })
    if (exitCode === 0) return { command, env }
  }
  return undefined
}

/** @throws PackagesUnavailable */
export async function getDockerCompose(say: Say, signal?: AbortSignal): Promise<string> {
  const present = locateDockerCompose()
  if (present) return present.command.join(' ')
  const waiting = () => say('another run is getting it; waiting')
  await using _lock = await acquireLock(join(cache(), 'docker-compose.lock'), waiting)
  if (!locateDockerCompose()) {
    say("downloading Debian's docker-compose, to check the compose files with: once")
    await unpackPackages({
      // The latter come along only where they are named: the machine may have them for another Python.
      packages: ['docker-compose', 'python3-distro', 'python3-yaml', 'python3-six', 'python3-packaging'],
      files: ['./usr/bin/docker-compose', './usr/lib/python3/dist-packages/*'],
      folder: cache(),
      name: (version) => `${prefix}${version.replace(/^\d+:/, '')}`,
      signal,
    })
  }
  const found = locateDockerCompose()
  if (!found) throw new PackagesUnavailable("docker-compose was downloaded, but doesn't run here")
  return found.command.join(' ')
}
