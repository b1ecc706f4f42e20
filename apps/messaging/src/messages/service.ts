import { channelStream, type Mentions, type Message, type MessageRevision, type Page } from '@conntext/contracts'
import type { Communications, CommunicationsExecutor } from '@conntext/db-communications'
import { accessErrors, actorOf, type Caller, type Guard, inScope, type Refused } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { appendEvents } from '@conntext/streams'
import { messagingAudit, recordAudit } from '../audit.ts'
import { assertAccepted } from '../contacts/acceptance.ts'
import { recordDropped } from '../media/removal.ts'
import { keepMentions } from '../mentions/queries.ts'
import { mayCallMany, NOBODY, resolveMentions } from '../mentions/resolve.ts'
import { refreshDocument } from '../search/documents.ts'
import { type Transaction, tables, type WriteStreams } from '../streams/writer.ts'
import { checkContent } from './content.ts'
import { eraseMessages } from './erasure.ts'
import { messageErrors } from './errors.ts'
import { assertStillMay, findLoss } from './loss.ts'
import { presentOne } from './present.ts'
import { findMessage, updateMessage } from './queries.ts'
import { keepRevision, listRevisions } from './revisions.ts'
import { isOfServer, type MessageRow, toMessage } from './shape.ts'

export type MessageDeps = {
  db: Communications
  write: WriteStreams
  guard: Guard
  clock: Clock
  refused: Refused
  nudge: () => void
}
export type Address = { channelId: string; messageId: string }

/** With the caller's own reactions. @throws message.notFound (404), also for one that has been deleted */
export async function getMessage(
  { db }: Pick<MessageDeps, 'db'>,
  { userId }: Pick<Caller, 'userId'>,
  address: Address,
): Promise<Message> {
  return presentOne(db, await existing(db, address), userId)
}

/** What a message said before it was edited. @throws message.notFound (404), also for one that has been deleted */
export async function readRevisions(
  { db }: Pick<MessageDeps, 'db'>,
  address: Address,
  query: { limit?: string; cursor?: string },
): Promise<Page<MessageRevision>> {
  const { id } = await existing(db, address)
  return listRevisions(db, id, query)
}

/**
 * Changes the words of one's own message, and keeps the former ones. The same words change nothing: no event, no
 * `editedAt`. Whom it mentions is found anew, but nobody is called who wasn't before.
 * @throws message.notFound (404), message.notAuthor, conversation.notAccepted (403), message.fromTheServer,
 * conversation.blocked (409), and what is wrong with the words (422)
 */
export async function editMessage(
  deps: MessageDeps,
  caller: Caller,
  address: Address,
  content: string,
): Promise<Message> {
  const { write, guard, clock } = deps
  const { limits } = (await guard.authority()).snapshot.server
  const mentions = await resolveMentions(guard, content, mayCallMany(guard, caller, address.channelId))
  const stream = channelStream(address.channelId)
  return write([stream], async (tx, heads) => {
    await assertStillMay(deps, tx, caller, 'message.send', address.channelId)
    const before = await existing(tx, address)
    if (before.authorId !== caller.userId) throw messageErrors.notAuthor()
    if (isOfServer(before)) throw messageErrors.fromTheServer()
    await assertAccepted(tx, address.channelId, caller.userId)
    const former = await presentOne(tx, before)
    checkContent(content, limits, former.media.length > 0)
    if (before.content === content) return { answer: former, events: [] }
    const editedSeq = (heads.get(stream) ?? 0) + 1
    const edited = await applyEdit(tx, before, { content, mentions, editedSeq, editedAt: clock.now() })
    const { media, reactions, replyPreview } = former
    const message = toMessage(edited, { media, reactions, replyPreview, myReactions: [] })
    const event = { stream, type: 'message.edited', at: message.editedAt!, data: message }
    return { answer: message, events: await appendEvents(tx, tables, [event]) }
  })
}

type Edit = { content: string; mentions: Mentions; editedSeq: number; editedAt: Date }

/** The one place where a message's words are changed. */
async function applyEdit(tx: Transaction, before: MessageRow, { mentions, ...edit }: Edit): Promise<MessageRow> {
  await keepRevision(tx, before)
  await keepMentions(tx, before, mentions)
  const stored = mentions === NOBODY ? null : mentions
  const edited = await updateMessage(tx, before.id, { ...edit, mentions: stored, revision: before.revision + 1 })
  await refreshDocument(tx, edited)
  return edited
}

/**
 * Deletes one's own message, or with `message.manage` anybody's, and the media that no other message carries. An API
 * token deletes its bearer's where it could send them.
 * @throws message.notFound (404), access.forbidden (403)
 */
export async function deleteMessage(deps: MessageDeps, caller: Caller, address: Address): Promise<void> {
  const { write, guard, clock, nudge } = deps
  const managed = await guard.allows(caller, 'message.manage', address.channelId)
  await write([channelStream(address.channelId)], async (tx) => {
    await assertStillMay(deps, tx, caller, 'channel.view', address.channelId)
    const manages = managed && !(await findLoss(deps, tx, caller, 'message.manage', address.channelId))
    const row = await existing(tx, address)
    // What the server says is nobody's own.
    const own = row.authorId === caller.userId && !isOfServer(row)
    if (!manages && !(own && inScope(caller, 'message.send'))) throw refuseDeletion(deps, caller, own)
    const { events, dropped } = await eraseMessages(tx, row.channelId, [row], clock.now())
    await recordDropped(tx, actorOf(caller), dropped)
    if (!own) {
      const { channelId, authorId } = row
      const data = { channelId, authorId }
      await recordAudit(tx, [messagingAudit('message.deletedByModerator', actorOf(caller), row.id, data)])
    }
    return { answer: undefined, events }
  })
  nudge()
}

function refuseDeletion({ refused }: MessageDeps, caller: Caller, own: boolean): Error {
  const permission = own ? 'message.send' : 'message.manage'
  refused(caller, permission, 'DELETE /v1/channels/:channelId/messages/:messageId')
  return accessErrors.forbidden(`This needs the permission ${permission}.`)
}

/** @throws message.notFound (404), also for one that has been deleted */
export async function existing(db: CommunicationsExecutor, address: Address): Promise<MessageRow> {
  const row = await findMessage(db, address.channelId, address.messageId)
  if (!row) throw messageErrors.notFound()
  return row
}
