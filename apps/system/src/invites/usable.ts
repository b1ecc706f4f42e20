import type { Guard } from '@conntext/http'
import { inviteErrors } from './errors.ts'
import type { InviteRow } from './queries.ts'

const GONE = new Set(['banned', 'deleted'])

/**
 * Whether whoever made an invite has been banned or deleted: then it is dead, as long as that lasts. Those of who has
 * left live on, as Discord's do.
 */
export async function isDead(guard: Guard, { creatorId }: Pick<InviteRow, 'creatorId'>): Promise<boolean> {
  const grant = await guard.grant(creatorId)
  return !grant || GONE.has(grant.standing)
}

/** @throws invite.notFound (404), invite.expired, invite.usedUp (410) */
export function assertUsable(invite: InviteRow | undefined, now: Date): asserts invite {
  if (!invite || invite.revokedAt !== null) throw inviteErrors.notFound()
  if (invite.expiresAt !== null && invite.expiresAt <= now) throw inviteErrors.expired()
  if (invite.maxUses !== null && invite.uses >= invite.maxUses) throw inviteErrors.usedUp()
}
