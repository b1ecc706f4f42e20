import type { Grant } from '@conntext/contracts'
import type { Guard } from '@conntext/http'
import type { Logger } from '@conntext/kernel'
import type { Connections } from '../sockets/connections.ts'
import type { Access } from './access.ts'

/** Within this time every account's grant has been looked at once. */
const ROUND_MS = 60_000

const unscoped = ({ scopes: _, ...grant }: Grant): string => JSON.stringify(grant)

export type DriftOptions = { guard: Guard; access: Access; connections: Connections; log: Logger; everyMs: number }

/**
 * The bus may lose the news that something has changed. The guard's caches end by themselves; this finds what is
 * different then, a few accounts at a time, and which API tokens have been revoked.
 */
export function watchDrift({ guard, access, connections, log, everyMs }: DriftOptions): () => void {
  let round: string[] = []
  let share = 1

  const look = async (): Promise<void> => {
    if (access.gate.closed) return
    const { snapshot } = await guard.authority()
    if (snapshot.version !== access.view.authority.snapshot.version) return access.changed({})
    if (round.length === 0) {
      // Access tokens end by themselves in a few minutes; an API token may not.
      if ([...connections.ready()].some((one) => one.identity!.scopes !== null)) await guard.learnRevocations()
      round = [...new Set([...connections.ready()].map((one) => one.identity!.userId))]
      share = Math.ceil((round.length * everyMs) / ROUND_MS)
    }
    for (const userId of round.splice(0, share)) {
      const grant = JSON.stringify(await guard.grant(userId))
      const drifted = connections.ofUser(userId).some((one) => one.grant && unscoped(one.grant) !== grant)
      if (drifted) access.changed({ userId })
    }
  }

  let looking = false
  const timer = setInterval(() => {
    if (looking) return
    looking = true
    look()
      .catch((error) => log.warn({ err: error }, 'it could not be checked whether roles have changed unnoticed'))
      .finally(() => {
        looking = false
      })
  }, everyMs)
  return () => clearInterval(timer)
}
