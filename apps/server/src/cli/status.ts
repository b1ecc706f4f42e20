import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { DependencyHealth, SystemHealth } from '@conntext/contracts'
import { visitDataDirectory } from '@conntext/embedded'
import manifest from '../../package.json'
import type { ServerConfig } from '../config.ts'
import { callOperatorDoor } from '../operator-door.ts'
import { localUrl } from './doctor/network.ts'

const WITHIN_MS = 5_000

type Answer = { status?: string; parts?: Record<string, string> }

/**
 * One line for the server, and one for each part of it; below these what isn't as it should be, and what to do. Answers 0
 * where it is ready, else 1.
 */
export async function tellStatus({ gateway, data }: ServerConfig, print: (line: string) => void): Promise<number> {
  const url = localUrl(gateway)
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(WITHIN_MS) }).catch(() => undefined)
  if (!answer) {
    print(`not running: nothing answers at ${url}`)
    return 1
  }
  const { parts = {} } = (await answer.json().catch(() => ({}))) as Answer
  print(`${answer.ok ? 'ready' : 'not ready'} at ${url} (this is version ${manifest.version})`)
  for (const [part, state] of Object.entries(parts)) print(`  ${part}: ${state}`)
  const health = await healthAt(data)
  if (health) for (const line of linesOf(health)) print(line)
  return answer.ok ? 0 : 1
}

/** What the server that runs on this data says of itself; undefined where none does, or it is of an older release. */
async function healthAt(data: string): Promise<SystemHealth | undefined> {
  if (!existsSync(join(data, 'lock.db'))) return undefined
  return callOperatorDoor(visitDataDirectory(data))
    ?.systemHealth({})
    .catch(() => undefined)
}

export function linesOf({ version, state, since, startedAt, services }: SystemHealth): string[] {
  const schemas = services.flatMap((service) => service.schemas ?? [])
  return [
    `release ${version}, started ${startedAt}, ${state} since ${since}`,
    ...schemas.map(({ database, applied, expected }) => {
      const newer = applied !== null && applied > expected ? ': that of a newer release' : ''
      return `schema of ${database}: ${applied ?? 'unknown'} of ${expected} migrations${newer}`
    }),
    ...services.flatMap(({ service, dependencies }) =>
      dependencies.filter((one) => one.state !== 'up').flatMap((one) => linesOfDependency(service, one)),
    ),
  ]
}

const linesOfDependency = (service: string, { name, state, since, detail, remedy }: DependencyHealth): string[] => [
  `${service}, ${name}: ${state} since ${since}${detail === null ? '' : `: ${detail}`}`,
  ...(remedy === null ? [] : [`  → ${remedy}`]),
]
