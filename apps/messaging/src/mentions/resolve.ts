import type { Mentions } from '@conntext/contracts'
import type { Guard, Principal } from '@conntext/http'
import { type Named, NO_NAMES, parseMentions } from './parse.ts'

/** Those of a message that calls nobody: always this very object. */
export const NOBODY: Mentions = { userIds: [], roleIds: [], everyone: false }

/** Whether an author may call everyone and roles. */
type MayCallMany = () => Promise<boolean>

export const mayCallMany =
  (guard: Guard, author: Principal, channelId: string): MayCallMany =>
  () =>
    guard.allows(author, 'message.mentionEveryone', channelId)

/**
 * Whom a text calls: members and roles that are there. Everyone (`@here` is the same) and roles only where its author
 * may; otherwise they stay plain text.
 */
export async function resolveMentions(guard: Guard, text: string, mayCallMany: MayCallMany): Promise<Mentions> {
  const named = parseMentions(text)
  if (named === NO_NAMES) return NOBODY
  const [userIds, many] = await Promise.all([
    activeMembers(guard, named.userIds),
    mentionedMany(guard, named, mayCallMany),
  ])
  const isNobody = userIds.length === 0 && many.roleIds.length === 0 && !many.everyone
  return isNobody ? NOBODY : { userIds, ...many }
}

async function activeMembers(guard: Guard, userIds: string[]): Promise<string[]> {
  const grants = await Promise.all(userIds.map((id) => guard.grant(id)))
  return userIds.filter((_, index) => grants[index]?.standing === 'active')
}

async function mentionedMany(guard: Guard, named: Named, mayCallMany: MayCallMany): Promise<Omit<Mentions, 'userIds'>> {
  const nobody = { roleIds: [], everyone: false }
  if (!named.everyone && named.roleIds.length === 0) return nobody
  if (!(await mayCallMany())) return nobody
  const { roles } = (await guard.authority()).snapshot
  const found = roles.filter((role) => named.roleIds.includes(role.id))
  return {
    roleIds: found.filter((role) => !role.isEveryone).map((role) => role.id),
    everyone: named.everyone || found.some((role) => role.isEveryone),
  }
}
