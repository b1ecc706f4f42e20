import type { AuditEvent, VoicePort } from '@conntext/contracts'
import { accessErrors, actorOf, type Caller, type Guard } from '@conntext/http'
import { realtimeAudit } from '../audit.ts'
import { type Calls, callerOf } from './calls.ts'
import { voiceErrors } from './errors.ts'
import type { Notices } from './notices.ts'
import { settleAndTell } from './operations.ts'
import type { Participant } from './participant.ts'
import { assertMay, assertVoiceChannel, limitsOf, type PermitDeps, standing } from './permits.ts'

export type ModerationDeps = PermitDeps & {
  calls: Calls
  notices: Notices
  /** How many are in a channel's call, wherever that is. */
  peopleIn(channelId: string): number
  /** How many may be in one call. */
  maxParticipants: number
  /** Stores an event for good before it resolves. */
  record(event: AuditEvent): Promise<void>
}

type Moderate = Parameters<VoicePort['voiceModerate']>[0]

const ACTIONS = {
  mute: { permission: 'voice.moderate', audit: 'voice.muted' },
  unmute: { permission: 'voice.moderate', audit: 'voice.unmuted' },
  deafen: { permission: 'voice.moderate', audit: 'voice.deafened' },
  undeafen: { permission: 'voice.moderate', audit: 'voice.undeafened' },
  move: { permission: 'voice.move', audit: 'voice.moved' },
  disconnect: { permission: 'voice.move', audit: 'voice.disconnected' },
} as const

/**
 * What a moderator does with somebody in a call. It is recorded before it is done; where it can't be, it isn't done.
 * @throws as `voiceModerate` does
 */
export async function moderate(deps: ModerationDeps, asked: Moderate): Promise<void> {
  const { channelId, userId, action, to } = asked
  const caller = callerOf(asked.caller, asked.reason)
  const { permission, audit } = ACTIONS[action]
  await assertVoiceChannel(deps.guard, caller, channelId)
  await assertMay(deps, caller, permission, { channelId, op: `voice.${action}` })
  const target = deps.calls.inCall(channelId, userId)
  if (!target) throw voiceErrors.notInCall('They are not in this call.')
  await assertBelow(deps.guard, caller, userId)
  if (action === 'move') await assertMovable(deps, caller, target, to)
  const actor = actorOf(caller)
  if (action === 'move') await deps.record(realtimeAudit('voice.moved', actor, userId, { channelId, to: to! }))
  else await deps.record(realtimeAudit(audit as 'voice.muted', actor, userId, { channelId }))
  await apply(deps, target, asked)
}

/** Oneself may always be moderated; others only from above. */
async function assertBelow(guard: Guard, caller: Caller, userId: string): Promise<void> {
  if (caller.userId === userId) return
  const [authority, own, theirs] = await Promise.all([
    guard.authority(),
    guard.grant(caller.userId),
    guard.grant(userId),
  ])
  if (own && (!theirs || authority.rank(own, 'counting') > authority.rank(theirs, 'all'))) return
  throw accessErrors.forbidden('They stand as high as you, or higher.')
}

async function assertMovable(deps: ModerationDeps, caller: Caller, target: Participant, to: string | undefined) {
  if (to === undefined || to === target.call.channelId) throw voiceErrors.cannotMoveThere('Name another channel.')
  await assertVoiceChannel(deps.guard, caller, to)
  await assertMay(deps, caller, 'voice.move', { channelId: to, op: 'voice.move' })
  const { connect } = await standing(deps, target.caller, to)
  if (!connect) throw voiceErrors.cannotMoveThere()
  const { userLimit } = await limitsOf(deps.guard, to)
  const hasRoom = deps.peopleIn(to) < Math.min(deps.maxParticipants, userLimit ?? Number.POSITIVE_INFINITY)
  if (hasRoom || (await deps.guard.allows(target.caller, 'voice.move', to))) return
  throw voiceErrors.cannotMoveThere('That call is full.')
}

const SETS: Record<string, { of: 'muted' | 'deafened'; on: boolean }> = {
  mute: { of: 'muted', on: true },
  unmute: { of: 'muted', on: false },
  deafen: { of: 'deafened', on: true },
  undeafen: { of: 'deafened', on: false },
}

async function apply(deps: ModerationDeps, target: Participant, { action, userId, to }: Moderate): Promise<void> {
  const { calls, notices } = deps
  const { channelId } = target.call
  // The call may be another one by now, and so may their participation.
  const call = calls.call(channelId) ?? target.call
  const now = calls.inCall(channelId, userId)
  const set = SETS[action]
  if (set) {
    if (set.on) call[set.of].add(userId)
    else call[set.of].delete(userId)
    if (now) await now.serial.must(() => settleAndTell(deps, now))
    return
  }
  if (!now) return
  if (action === 'disconnect') calls.end(now, 'disconnected')
  else {
    notices.tell([now], 'voice.moved', { channelId, to: to! })
    calls.end(now, undefined, { rejoin: false, as: 'moved' })
  }
}
