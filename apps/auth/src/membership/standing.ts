import { type AuditActor, auditFor, type Member, SERVER_STREAM } from '@conntext/contracts'
import { type Changes, streamEvent } from '../changes.ts'
import { memberJoined, toMember } from '../members/members.ts'
import { findMember } from '../members/queries.ts'
import { takeAllRoles } from '../moderation/queries.ts'
import type { Transaction } from '../transaction.ts'
import { updateUser } from '../users/queries.ts'

const audit = auditFor('auth')

/**
 * Takes a member's place: their roles go; their nickname and a running timeout stay, so that nobody is rid of them by
 * going and coming back.
 */
export async function endMembership(
  tx: Transaction,
  changes: Changes,
  { userId, to, actor }: { userId: string; to: 'left' | 'banned'; actor: AuditActor },
): Promise<void> {
  await updateUser(tx, userId, { standing: to })
  const removed = await takeAllRoles(tx, userId)
  await changes.owe(tx, {
    audit: removed.length > 0 ? [audit('member.rolesChanged', actor, userId, { added: [], removed })] : [],
    events: [streamEvent(SERVER_STREAM, 'member.left', { userId })],
  })
}

/** Makes somebody who has gone or was banned a member again, with the roles that they have by then. */
export async function beginMembership(
  tx: Transaction,
  changes: Changes,
  { userId, now }: { userId: string; now: Date },
): Promise<Member> {
  await updateUser(tx, userId, { standing: 'active', joinedAt: now })
  const member = toMember((await findMember(tx, userId))!)
  await changes.owe(tx, { events: [memberJoined(member)] })
  return member
}
