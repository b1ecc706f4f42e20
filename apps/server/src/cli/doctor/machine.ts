import { spawnSync } from 'node:child_process'
import { readFile, statfs } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { type Check, fault, ok, warning } from './finding.ts'

const GIB = 1024 ** 3
const ENOUGH_MEMORY = 1.5 * GIB
const ENOUGH_FILES = 8_192
const LITTLE_SPACE = 5 * GIB
const NO_SPACE = GIB
// No clock that is right says less: it is later than this program was written.
const WRITTEN = Date.UTC(2026, 0, 1)

const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`

/** Of the control group where there is one (containers), else of the machine. */
async function memoryLimit(): Promise<number> {
  const limit = await readFile('/sys/fs/cgroup/memory.max', 'utf8').catch(() => '')
  return Math.min(Number.parseInt(limit, 10) || Number.POSITIVE_INFINITY, totalmem())
}

export const memory: Check = {
  about: 'memory',
  async run() {
    const bytes = await memoryLimit()
    if (bytes >= ENOUGH_MEMORY) return ok(gib(bytes))
    return warning(`only ${gib(bytes)}`, 'All of ConnText on one machine takes 1.5 GiB; give it more.')
  },
}

/** Each connection takes one; so does each file that is being stored or fetched. */
export const openFiles: Check = {
  about: 'open files',
  async run() {
    const limits = await readFile('/proc/self/limits', 'utf8').catch(() => undefined)
    const limit = limits && /^Max open files\s+(\S+)/m.exec(limits)?.[1]
    if (!limit) return ok('no limit is known on this system')
    if (limit === 'unlimited' || Number(limit) >= ENOUGH_FILES) return ok(`${limit} at once`)
    return warning(
      `only ${limit} at once, of which each connection takes one`,
      `Raise the limit: ulimit -n 65536, LimitNOFILE= of systemd, or ulimits in a compose file.`,
    )
  },
}

export const clock: Check = {
  about: 'clock',
  async run() {
    const now = new Date()
    if (now.getTime() < WRITTEN) return fault(`says ${now.toISOString()}`, 'Set the clock: tokens and logins go by it.')
    const asked = spawnSync('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'], { encoding: 'utf8' })
    if (asked.status === 0 && asked.stdout.trim() === 'no') {
      return warning(
        `says ${now.toISOString()}, and nothing keeps it right`,
        'Have it kept by NTP: timedatectl set-ntp true.',
      )
    }
    return ok(`says ${now.toISOString()}`)
  },
}

/** The file system that the data is on. */
export const space = (path: string): Check => ({
  about: 'disk space',
  async run() {
    const { bavail, blocks, bsize, ffree, files } = await statfs(path)
    const free = bavail * bsize
    const told = `${gib(free)} of ${gib(blocks * bsize)} left at ${path}`
    const remedy = 'Make room: without it nothing is stored, and the databases stop.'
    if (free < NO_SPACE || (files > 0 && ffree < 1_000)) return fault(told, remedy)
    return free < LITTLE_SPACE ? warning(told, remedy) : ok(told)
  },
})
