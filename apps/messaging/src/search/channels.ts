import type { Communications } from '@conntext/db-communications'
import type { Guard, Principal } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { listConversationNames } from '../conversations/queries.ts'

/** Something whose messages are searched: a channel, a group, or a conversation with one other person. */
export type Searchable = { id: string; name: string | null; withUserId?: string | null }

export type ChannelDeps = { db: Communications; guard: Guard; clock: Clock }

/** All that the caller may see and read the history of now: nothing is ever searched but these. */
export async function searchableChannels(deps: ChannelDeps, caller: Principal): Promise<Searchable[]> {
  const found = await Promise.all([visibleChannels(deps, caller), ownConversations(deps, caller)])
  return found.flat()
}

async function visibleChannels({ guard, clock }: ChannelDeps, caller: Principal): Promise<Searchable[]> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(caller)])
  if (!grant) return []
  const now = clock.now().getTime()
  return authority.snapshot.channels.filter(
    ({ id }) => authority.allows(grant, 'channel.view', id, now) && authority.allows(grant, 'message.history', id, now),
  )
}

async function ownConversations({ db, guard }: ChannelDeps, caller: Principal): Promise<Searchable[]> {
  const may = await Promise.all([
    guard.allowsParticipant(caller, 'channel.view'),
    guard.allowsParticipant(caller, 'message.history'),
  ])
  if (may.includes(false)) return []
  return listConversationNames(db, caller.userId)
}
