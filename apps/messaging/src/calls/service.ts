import {
  type CallEnding,
  type CallParticipation,
  type CallRecord,
  type CallsQuery,
  type ExportedCall,
  type Page,
  pageLimit,
} from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import {
  accessErrors,
  type Caller,
  channelNotFound,
  type Guard,
  inScope,
  pageById,
  pageRequest,
  type Refused,
} from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { listConversationIds } from '../conversations/queries.ts'
import { inSnapshot } from '../snapshot.ts'
import { callErrors } from './errors.ts'
import {
  findByPart,
  findCall,
  type ListedCall,
  listCalls,
  listParticipations,
  listParticipationsOf,
  type ParticipationRow,
} from './queries.ts'
import { secondsBetween } from './record.ts'

export type CallDeps = { db: Communications; guard: Guard; clock: Clock; refused: Refused }

const EXPORTED_AT_ONCE = 200

/**
 * The calls of channels that the caller may see and conversations that they take part in, the newest first.
 * @throws channel.notFound (404), access.forbidden (403) with an API token with other scopes, call.tooSlow (503)
 */
export async function pageCalls(deps: CallDeps, caller: Caller, query: CallsQuery): Promise<Page<CallRecord>> {
  if (!inScope(caller, 'channel.view')) {
    deps.refused(caller, 'channel.view', 'GET /v1/calls')
    throw accessErrors.forbidden('This needs the permission channel.view.')
  }
  const { channelId } = query
  if (channelId !== undefined && !(await deps.guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
  const channelIds = channelId === undefined ? await visible(deps, caller) : [channelId]
  const userId = query.userId === '@me' ? caller.userId : query.userId
  const { limit, after } = pageRequest(query)
  const rows = await inSnapshot(deps.db, tooSlow, (tx) =>
    listCalls(tx, { channelIds, userId }, { limit: limit + 1, after }),
  )
  const now = deps.clock.now()
  return pageById(rows, limit, (row) => toRecord(row, now))
}

const tooSlow = (cause: unknown) => callErrors.tooSlow({ retryAfter: 10, cause })

async function visible({ db, guard, clock }: CallDeps, caller: Caller): Promise<string[]> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(caller)])
  if (!grant) return []
  const now = clock.now().getTime()
  const channels = authority.snapshot.channels
    .filter(({ id, type }) => type === 'voice' && authority.allows(grant, 'channel.view', id, now))
    .map(({ id }) => id)
  const takesPart = authority.allowsParticipant(grant, 'channel.view', now)
  return takesPart ? [...channels, ...(await listConversationIds(db, caller.userId))] : channels
}

/** @throws call.notFound (404), also for what the caller may not see */
export async function getCall(deps: CallDeps, caller: Caller, callId: string): Promise<CallRecord> {
  return toRecord(await assertCall(deps, caller, callId), deps.clock.now())
}

/** Who was in a call, those who joined first before the others. @throws as `getCall` does */
export async function pageParticipations(
  deps: CallDeps,
  caller: Caller,
  callId: string,
  query: { limit?: string; cursor?: string },
): Promise<Page<CallParticipation>> {
  const { id } = await assertCall(deps, caller, callId)
  const { after } = pageRequest(query)
  const limit = pageLimit(query.limit)
  const rows = await listParticipations(deps.db, id, { limit: limit + 1, after })
  const now = deps.clock.now()
  return pageById(rows, limit, (row) => toParticipation(row, now))
}

async function assertCall({ db, guard }: CallDeps, caller: Caller, callId: string): Promise<ListedCall> {
  const id = await findByPart(db, callId)
  const row = (await findCall(db, callId)) ?? (id === undefined ? undefined : await findCall(db, id))
  if (!row || !(await guard.allows(caller, 'channel.view', row.channelId))) throw callErrors.notFound()
  return row
}

/** A page of the calls that somebody was in, for their own copy of it. */
export async function pageCallsOf(
  { db }: Pick<CallDeps, 'db'>,
  { userId, after }: { userId: string; after?: string | undefined },
): Promise<{ items: ExportedCall[]; next: string | null }> {
  const rows = await listParticipationsOf(db, userId, { limit: EXPORTED_AT_ONCE + 1, after })
  const page = rows.slice(0, EXPORTED_AT_ONCE)
  const items = page.map(({ callId, channelId, spoke, camera, screen, ...row }) => ({
    ...{ callId, channelId, spoke, camera, screen },
    ...timesOf(row),
  }))
  return { items, next: rows.length > EXPORTED_AT_ONCE ? page.at(-1)!.id : null }
}

const timesOf = ({ joinedAt, leftAt, ending }: Pick<ParticipationRow, 'joinedAt' | 'leftAt' | 'ending'>) => ({
  joinedAt: joinedAt.toISOString(),
  leftAt: leftAt?.toISOString() ?? null,
  ending: ending as CallEnding | null,
})

const toRecord = ({ id, channelId, startedAt, endedAt, ending, ...row }: ListedCall, now: Date): CallRecord => ({
  ...{ id, channelId, startedAt: startedAt.toISOString(), endedAt: endedAt?.toISOString() ?? null },
  ending: ending as CallEnding | null,
  seconds: secondsBetween(startedAt, endedAt ?? now),
  peakParticipants: row.peak,
  participantCount: row.people,
  participantIds: row.userIds,
})

const toParticipation = ({ id, userId, spoke, camera, screen, ...row }: ParticipationRow, now: Date) => ({
  ...{ id, userId, ...timesOf(row) },
  seconds: secondsBetween(row.joinedAt, row.leftAt ?? now),
  ...{ spoke, camera, screen },
})
