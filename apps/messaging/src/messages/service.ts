import { channelStream, type Message } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import { accessErrors, actorOf, type Caller, type Guard, inScope, type Refused } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { appendEvents } from '@conntext/streams'
import { messagingAudit, recordAudit } from '../audit.ts'
import { recordDropped } from '../media/removal.ts'
import { tables, type WriteStreams } from '../streams/writer.ts'
import { checkContent } from './content.ts'
import { eraseMessages } from './erasure.ts'
import { messageErrors } from './errors.ts'
import { findMedia, findMessage, updateContent } from './queries.ts'
import { type MessageRow, toMessage } from './shape.ts'

export type MessageDeps = {
  db: Communications
  write: WriteStreams
  guard: Guard
  clock: Clock
  refused: Refused
  nudge: () => void
}
type Address = { channelId: string; messageId: string }

/** @throws message.notFound (404), also for one that has been deleted */
export async function getMessage({ db }: Pick<MessageDeps, 'db'>, address: Address): Promise<Message> {
  const row = await existing(db, address)
  return withMedia(db, row)
}

/**
 * Changes the words of one's own message. The same words change nothing: no event, no `editedAt`.
 * @throws message.notFound (404), message.notAuthor (403), and what is wrong with the words (422)
 */
export async function editMessage(
  { write, guard, clock }: MessageDeps,
  caller: Caller,
  address: Address,
  content: string,
): Promise<Message> {
  const { limits } = (await guard.authority()).snapshot.server
  const stream = channelStream(address.channelId)
  return write([stream], async (tx) => {
    const before = await existing(tx, address)
    if (before.authorId !== caller.userId) throw messageErrors.notAuthor()
    const { media } = await withMedia(tx, before)
    checkContent(content, limits, media.length > 0)
    if (before.content === content) return { answer: toMessage(before, media), events: [] }
    const editedAt = clock.now()
    const message = toMessage(await updateContent(tx, before.id, { content, editedAt }), media)
    const event = { stream, type: 'message.edited', at: editedAt.toISOString(), data: message }
    return { answer: message, events: await appendEvents(tx, tables, [event]) }
  })
}

/**
 * Deletes one's own message, or with `message.manage` anybody's, and the media that no other message carries. An API
 * token deletes its bearer's where it could send them.
 * @throws message.notFound (404), access.forbidden (403)
 */
export async function deleteMessage(deps: MessageDeps, caller: Caller, address: Address): Promise<void> {
  const { write, guard, clock, nudge } = deps
  const manages = await guard.allows(caller, 'message.manage', address.channelId)
  await write([channelStream(address.channelId)], async (tx) => {
    const row = await existing(tx, address)
    const own = row.authorId === caller.userId
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

async function existing(db: Parameters<typeof findMessage>[0], address: Address): Promise<MessageRow> {
  const row = await findMessage(db, address.channelId, address.messageId)
  if (!row) throw messageErrors.notFound()
  return row
}

async function withMedia(db: Parameters<typeof findMedia>[0], row: MessageRow): Promise<Message> {
  const media = await findMedia(db, [row.id])
  return toMessage(row, media.get(row.id) ?? [])
}
