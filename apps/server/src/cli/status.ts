import manifest from '../../package.json'
import type { ServerConfig } from '../config.ts'
import { localUrl } from './doctor/network.ts'

const WITHIN_MS = 5_000

type Answer = { status?: string; parts?: Record<string, string> }

/** One line for the server, and one for each part of it. Answers 0 where it is ready, else 1. */
export async function tellStatus({ gateway }: ServerConfig, print: (line: string) => void): Promise<number> {
  const url = localUrl(gateway)
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(WITHIN_MS) }).catch(() => undefined)
  if (!answer) {
    print(`not running: nothing answers at ${url}`)
    return 1
  }
  const { parts = {} } = (await answer.json().catch(() => ({}))) as Answer
  print(`${answer.ok ? 'ready' : 'not ready'} at ${url} (this is version ${manifest.version})`)
  for (const [part, state] of Object.entries(parts)) print(`  ${part}: ${state}`)
  return answer.ok ? 0 : 1
}
