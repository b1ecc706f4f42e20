import type { Mentions } from '@conntext/contracts'
import type { Guard, Principal } from '@conntext/http'
import { type Named, NO_NAMES, parseMentions } from './parse.ts'

/** Those of a message that calls nobody: always this very object. */
export const NOBODY: Mentions = { userIds: [], roleIds: [], everyone: false }

/**
 * Whom a text calls: members and roles that are there. Everyone (`@here` is the same) and roles only where the author
 * has `message.mentionEveryone` in the channel; without it they stay plain text.
 */
export async function resolveMentions(
  guard: Guard,
  author: Principal,
  channelId: string,
  text: string,
): Promise<Mentions> {
  const named = parseMentions(text)
  if (named === NO_NAMES) return NOBODY
  const [userIds, many] = await Promise.all([
    activeMembers(guard, named.userIds),
    mentionedMany(guard, author, channelId, named),
  ])
  const isNobody = userIds.length === 0 && many.roleIds.length === 0 && !many.everyone
  return isNobody ? NOBODY : { userIds, ...many }
}

async function activeMembers(guard: Guard, userIds: string[]): Promise<string[]> {
  const grants = await Promise.all(userIds.map((id) => guard.grant(id)))
  return userIds.filter((_, index) => grants[index]?.standing === 'active')
}

async function mentionedMany(
  guard: Guard,
  author: Principal,
  channelId: string,
  named: Named,
): Promise<Omit<Mentions, 'userIds'>> {
  const nobody = { roleIds: [], everyone: false }
  if (!named.everyone && named.roleIds.length === 0) return nobody
  if (!(await guard.allows(author, 'message.mentionEveryone', channelId))) return nobody
  const { roles } = (await guard.authority()).snapshot
  const found = roles.filter((role) => named.roleIds.includes(role.id))
  return {
    roleIds: found.filter((role) => !role.isEveryone).map((role) => role.id),
    everyone: named.everyone || found.some((role) => role.isEveryone),
  }
}
