import { channelStream, type EventType, type Page, pageLimit, type Reactor } from '@conntext/contracts'
import { accessErrors, actorOf, type Caller, inScope, pageById, pageRequest } from '@conntext/http'
import { type Appended, appendEvents } from '@conntext/streams'
import { messagingAudit, recordAudit } from '../audit.ts'
import { assertAccepted } from '../contacts/acceptance.ts'
import { assertStillMay } from '../messages/loss.ts'
import { type Address, existing, type MessageDeps } from '../messages/service.ts'
import { type Changed, type Transaction, tables } from '../streams/writer.ts'
import { emojiOf } from './emoji.ts'
import { MOST_EMOJI, reactionErrors } from './errors.ts'
import {
  countDown,
  countEmoji,
  countUp,
  deleteReaction,
  deleteReactions,
  findReactionsOf,
  insertReaction,
  listReactors,
} from './queries.ts'

export type ReactionDeps = Pick<MessageDeps, 'db' | 'write' | 'guard' | 'clock' | 'refused' | 'nudge'>

type Reacted = Address & { emoji: string }

const NOTHING: Changed<boolean> = { answer: false, events: [] }

/**
 * Reacts to a message; nothing where the caller has, with that emoji.
 * @throws message.notFound (404), conversation.notAccepted (403), conversation.blocked, reaction.tooMany (409),
 * reaction.notAnEmoji (422)
 */
export async function addReaction(deps: ReactionDeps, caller: Caller, given: Reacted): Promise<void> {
  const emoji = emojiOf(given.emoji)
  const { channelId, messageId } = given
  const { userId } = caller
  const stream = channelStream(channelId)
  await deps.write([stream], async (tx, heads) => {
    await assertStillMay(deps, tx, caller, 'reaction.add', channelId)
    await existing(tx, given)
    await assertAccepted(tx, channelId, userId)
    if (!(await insertReaction(tx, { messageId, emoji, userId }))) return NOTHING
    const count = await countUp(tx, { messageId, emoji }, (heads.get(stream) ?? 0) + 1)
    if (count === 1 && (await countEmoji(tx, messageId)) > MOST_EMOJI) throw reactionErrors.tooMany()
    const data = { messageId, channelId, userId, emoji, count }
    return { answer: true, events: await tell(deps, tx, channelId, 'reaction.added', data) }
  })
}

/**
 * Takes the caller's own reaction back; nothing where there is none. An API token takes back what it could give.
 * @throws message.notFound (404), reaction.notAnEmoji (422), access.forbidden (403)
 */
export async function removeOwnReaction(deps: ReactionDeps, caller: Caller, given: Reacted): Promise<void> {
  if (!inScope(caller, 'reaction.add')) {
    deps.refused(caller, 'reaction.add', 'DELETE /v1/channels/:channelId/messages/:messageId/reactions/:emoji')
    throw accessErrors.forbidden('This needs the permission reaction.add.')
  }
  const reaction = { ...given, emoji: emojiOf(given.emoji), userId: caller.userId }
  await deps.write([channelStream(given.channelId)], async (tx) => {
    await assertStillMay(deps, tx, caller, 'channel.view', given.channelId)
    await existing(tx, given)
    return remove(deps, tx, reaction)
  })
}

/** Takes somebody's reaction away, as a moderator. @throws message.notFound (404), reaction.notAnEmoji (422) */
export async function removeReaction(
  deps: ReactionDeps,
  caller: Caller,
  given: Reacted & { userId: string },
): Promise<void> {
  const reaction = { ...given, emoji: emojiOf(given.emoji) }
  const { channelId, messageId, userId } = given
  await deps.write([channelStream(channelId)], async (tx) => {
    await assertStillMay(deps, tx, caller, 'message.manage', channelId)
    await existing(tx, given)
    const removed = await remove(deps, tx, reaction)
    if (removed.answer && userId !== caller.userId) {
      const data = { channelId, userId }
      await recordAudit(tx, [messagingAudit('reaction.removedByModerator', actorOf(caller), messageId, data)])
    }
    return removed
  })
  deps.nudge()
}

/** Takes all reactions off a message. @throws message.notFound (404) */
export async function clearReactions(deps: ReactionDeps, caller: Caller, given: Address): Promise<void> {
  const { channelId, messageId } = given
  await deps.write([channelStream(channelId)], async (tx) => {
    await assertStillMay(deps, tx, caller, 'message.manage', channelId)
    await existing(tx, given)
    const count = await deleteReactions(tx, [messageId])
    if (count === 0) return NOTHING
    const data = { channelId, count }
    await recordAudit(tx, [messagingAudit('reactions.clearedByModerator', actorOf(caller), messageId, data)])
    return { answer: true, events: await tell(deps, tx, channelId, 'reaction.cleared', { messageId, channelId }) }
  })
  deps.nudge()
}

/** Who reacted with an emoji, by their ids. @throws message.notFound (404), reaction.notAnEmoji (422) */
export async function readReactors(
  { db }: Pick<ReactionDeps, 'db'>,
  given: Reacted,
  query: { limit?: string; cursor?: string },
): Promise<Page<Reactor>> {
  const emoji = emojiOf(given.emoji)
  const { after } = pageRequest(query)
  const limit = pageLimit(query.limit)
  await existing(db, given)
  const rows = await listReactors(db, { messageId: given.messageId, emoji }, { after, limit: limit + 1 })
  return pageById(rows, limit, ({ id }) => ({ userId: id }))
}

/** Takes back all reactions of somebody who is gone, in many small transactions. May be repeated. */
export async function removeAllReactions(deps: ReactionDeps, userId: string): Promise<void> {
  for (;;) {
    const reactions = await findReactionsOf(deps.db, userId, 100)
    if (reactions.length === 0) return
    for (const reaction of reactions) {
      await deps.write([channelStream(reaction.channelId)], (tx) => remove(deps, tx, reaction))
    }
  }
}

async function remove(
  deps: ReactionDeps,
  tx: Transaction,
  { channelId, messageId, emoji, userId }: Reacted & { userId: string },
): Promise<Changed<boolean>> {
  if (!(await deleteReaction(tx, { messageId, emoji, userId }))) return NOTHING
  const count = await countDown(tx, { messageId, emoji })
  const data = { messageId, channelId, userId, emoji, count }
  return { answer: true, events: await tell(deps, tx, channelId, 'reaction.removed', data) }
}

const tell = (
  { clock }: ReactionDeps,
  tx: Transaction,
  channelId: string,
  type: EventType,
  data: object,
): Promise<Appended[]> =>
  appendEvents(tx, tables, [{ stream: channelStream(channelId), type, at: clock.now().toISOString(), data }])
