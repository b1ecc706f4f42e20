// Gets what stands in for containers of docker/compose.yml into the cache: from Debian's packages, unpacked and not
// installed. What can't be had is left out.
import { locateProgram, type ProgramName, programs } from '@conntext/testing/stack'
import { getFromDebian, PackagesUnavailable, type Unpacking } from '../lib/debian-packages.ts'
import { getRadosgw } from '../radosgw/get.ts'
import { getRedis } from '../redis/get.ts'

type Say = (line: string) => void

/** coturn's own libraries are named, since the machine may have some of them and not others. */
const packages: Record<ProgramName, Unpacking['packages']> = {
  caddy: ['caddy'],
  turnserver: ['coturn'],
  prometheus: ['prometheus'],
}

/** What comes along with a program. */
const beside: Partial<Record<ProgramName, string[]>> = { prometheus: ['./usr/bin/promtool'] }

/** Answers whether the program is there, after downloading it if need be. */
export async function getProgram(name: ProgramName, say: Say, signal?: AbortSignal): Promise<boolean> {
  const wanted = {
    name,
    what: `Debian's ${packages[name][0]}`,
    packages: packages[name],
    files: [`./${programs[name].path}`, ...(beside[name] ?? []), './usr/lib/*-linux-gnu/*', './lib/*-linux-gnu/*'],
    locate: () => locateProgram(name),
  }
  try {
    await getFromDebian(wanted, say, signal)
    return true
  } catch (error) {
    if (!(error instanceof PackagesUnavailable)) throw error
    say(error.message)
    return false
  }
}

/** Gets all that a stack needs from Debian. @throws PackagesUnavailable where one is missing that it can't do without */
export async function getStandIns(say: Say, signal?: AbortSignal): Promise<void> {
  await getRedis(say, signal)
  await getRadosgw(say, signal)
  for (const name of ['caddy', 'turnserver'] as const) await getProgram(name, say, signal)
}
