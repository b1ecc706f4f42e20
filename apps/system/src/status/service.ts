import type { SystemStatus } from '@conntext/contracts'
import { channels, roles, type ServerDetails, users } from '@conntext/db-server-details'
import { dependencyErrors, type Processes, toPrometheus } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { and, eq } from 'drizzle-orm'

export type StatusDeps = { db: ServerDetails; processes: Processes; clock: Clock; version: string }

export async function getStatus({ db, processes, clock, version }: StatusDeps): Promise<SystemStatus> {
  const [members, bots, channelCount, roleCount] = await Promise.all([
    db.$count(users, and(eq(users.kind, 'user'), eq(users.standing, 'active'))),
    db.$count(users, and(eq(users.kind, 'bot'), eq(users.standing, 'active'))),
    db.$count(channels),
    db.$count(roles),
  ])
  const known = processes.list()
  const startedAt = new Date(clock.now().getTime() - performance.now())
  return {
    version,
    startedAt: startedAt.toISOString(),
    uptimeSeconds: Math.floor(performance.now() / 1000),
    processes: known,
    counts: { members, bots, channels: channelCount, roles: roleCount },
  }
}

/**
 * What all processes count, in one answer, each sample with the process and the instance that it comes from. Who didn't
 * answer in time is named in a header. @throws dependency.away (503) where the bus is
 */
export async function allMetrics({ processes }: StatusDeps): Promise<Response> {
  const found = await processes.metrics().catch((cause: unknown) => {
    throw dependencyErrors.away({ detail: 'The bus is away for the moment.', retryAfter: 1, cause })
  })
  const { text, contentType } = await toPrometheus(found.metrics)
  const headers = new Headers({ 'content-type': contentType })
  if (found.missing.length > 0) headers.set('x-missing-instances', found.missing.join(', '))
  return new Response(text, { headers })
}
