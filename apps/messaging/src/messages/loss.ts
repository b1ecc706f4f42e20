import type { Authority, Grant, Permission } from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard, memberRefusal } from '@conntext/http'
import type { AppError, Clock } from '@conntext/kernel'
import { findParticipantIds } from '../conversations/queries.ts'
import type { Transaction } from '../streams/writer.ts'

type Standing = {
  authority: Authority
  grant: Grant | null | undefined
  /** In what is no channel: whether they take part in it. */
  takesPart: boolean
  now: Date
}

/** What somebody could in a channel or conversation when they were admitted, and can't any more; undefined if they can. */
export function lossOf(
  { authority, grant, takesPart, now }: Standing,
  permission: Permission,
  channelId: string,
): AppError | undefined {
  if (!grant || (grant.standing !== 'active' && grant.standing !== 'left')) return accessErrors.unauthenticated()
  const refused = memberRefusal(authority, grant)
  if (refused) return refused
  const isChannel = authority.hasChannel(channelId)
  const may = (wanted: Permission) =>
    isChannel
      ? authority.allows(grant, wanted, channelId, now.getTime())
      : authority.allowsParticipant(grant, wanted, now.getTime())
  if (!(isChannel || takesPart) || !may('channel.view')) return channelNotFound()
  return may(permission) ? undefined : accessErrors.forbidden(`This needs the permission ${permission}.`)
}

/**
 * What the caller can't do any more in a channel or conversation whose stream is locked. Asked under the lock, so that
 * what is taken from somebody is taken once that is answered. What they came with (an API token's scopes) stays as it
 * was when they were admitted.
 */
export async function findLoss(
  { guard, clock }: { guard: Guard; clock: Clock },
  tx: Transaction,
  { userId }: Pick<Caller, 'userId'>,
  permission: Permission,
  channelId: string,
): Promise<AppError | undefined> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grant(userId)])
  const isChannel = authority.hasChannel(channelId)
  const takesPart = !isChannel && ((await findParticipantIds(tx, [channelId])).get(channelId)?.has(userId) ?? false)
  return lossOf({ authority, grant, takesPart, now: clock.now() }, permission, channelId)
}

/** @throws channel.notFound (404), access.unauthenticated (401), access.forbidden and what else keeps members out (403) */
export async function assertStillMay(...asked: Parameters<typeof findLoss>): Promise<void> {
  const lost = await findLoss(...asked)
  if (lost) throw lost
}
