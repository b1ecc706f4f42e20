import { type CallEnding, type CallReport, systemActor } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import type { Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { Transaction } from '../streams/writer.ts'
import {
  type CallRow,
  dropDeparted,
  findByPart,
  findLatest,
  insertCall,
  isConversation,
  noteAudited,
  type Settled,
  settleCall,
  takeCalls,
  upsertParticipations,
} from './queries.ts'

export type RecordDeps = { db: Communications; guard: Guard; clock: Clock; nudge: () => void }

/** How long after its node is gone a call that begins in the same place is still the same one. */
export const RESUMED_WITHIN_MS = 60_000
const RESUMABLE: readonly CallEnding[] = ['interrupted', 'unheard']

const isResumable = (ending: string | null): boolean => RESUMABLE.includes(ending as CallEnding)

/**
 * Takes down what nodes tell of participations. The same again changes nothing, whichever instance it comes to and in
 * whatever order. What is told of a channel that is no more is left out.
 */
export async function recordCalls(deps: RecordDeps, reports: CallReport[]): Promise<void> {
  const byChannel = Map.groupBy(reports, ({ channelId }) => channelId)
  const audited: boolean[] = []
  for (const [channelId, told] of byChannel) {
    audited.push(await deps.db.transaction((tx) => record(deps, tx, channelId, told)))
  }
  if (audited.includes(true)) deps.nudge()
}

/** Answers whether something was audited. */
async function record(deps: RecordDeps, tx: Transaction, channelId: string, reports: CallReport[]): Promise<boolean> {
  await takeCalls(tx, channelId)
  if (!(await isThere(deps, tx, channelId))) return false
  const peaks = new Map<string, number>()
  for (const [partId, told] of Map.groupBy(latest(reports), ({ callId }) => callId)) {
    const peak = Math.max(...told.map((one) => one.peak))
    const callId = await callOf(tx, { channelId, partId, told, peak })
    await upsertParticipations(tx, callId, told, deps.clock.now())
    peaks.set(callId, Math.max(peak, peaks.get(callId) ?? 0))
  }
  await dropDeparted(
    tx,
    reports.map(({ userId }) => userId),
  )
  let audited = false
  for (const [callId, peak] of peaks) {
    const settled = await settleCall(tx, callId, peak)
    if (settled && (await audit(deps, tx, settled))) audited = true
  }
  return audited
}

/** Of what is told twice at once the later. */
const latest = (reports: CallReport[]): CallReport[] => [...new Map(reports.map((one) => [one.id, one])).values()]

/** Looked at under the lock: a deleted channel's calls are forgotten under it. */
async function isThere({ guard }: RecordDeps, tx: Transaction, channelId: string): Promise<boolean> {
  return (await guard.authority()).hasChannel(channelId) || isConversation(tx, channelId)
}

type Part = { channelId: string; partId: string; told: CallReport[]; peak: number }

/** The call that a node's belongs to: the one before, where that had only moved here, or a new one. */
async function callOf(tx: Transaction, { channelId, partId, told, peak }: Part): Promise<string> {
  const known = await findByPart(tx, partId)
  if (known !== undefined) return known
  const startedAt = new Date(Math.min(...told.map(({ joinedAt }) => Date.parse(joinedAt))))
  const before = await findLatest(tx, channelId)
  if (before && goesOn(before, startedAt)) return before.id
  await insertCall(tx, { id: partId, channelId, startedAt, peak })
  return partId
}

const goesOn = ({ endedAt, ending }: CallRow, at: Date): boolean =>
  endedAt === null || (isResumable(ending) && at.getTime() - endedAt.getTime() < RESUMED_WITHIN_MS)

/**
 * Audits that a call began, once two people have met in it, and that it is over, once nobody can go on with it. Whoever
 * goes in and out alone leaves no more than their own rows.
 */
export async function audit(
  { guard, clock }: Pick<RecordDeps, 'guard' | 'clock'>,
  tx: Transaction,
  call: Settled,
): Promise<boolean> {
  const { id, channelId, people, firstUserId, startedAt, endedAt, ending, peak } = call
  const begins = call.audited === null && people > 1 && firstUserId !== null
  if (begins) {
    const kind = (await guard.grant(firstUserId))?.kind ?? 'user'
    const actor = { ...systemActor, kind, id: firstUserId }
    await recordAudit(tx, [messagingAudit('call.started', actor, id, { channelId })])
    await noteAudited(tx, id, 'started')
  }
  const isOver = endedAt !== null && (!isResumable(ending) || !goesOn(call, clock.now()))
  if (!isOver || !(begins || call.audited === 'started')) return begins
  const data = { channelId, seconds: secondsBetween(startedAt, endedAt), participants: people, peak, ending: ending! }
  await recordAudit(tx, [messagingAudit('call.ended', systemActor, id, data)])
  await noteAudited(tx, id, 'ended')
  return true
}

export const secondsBetween = (from: Date, to: Date): number =>
  Math.max(0, Math.round((to.getTime() - from.getTime()) / 1000))
