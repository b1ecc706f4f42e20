import { channelStream, type Message, type Page, pageLimit } from '@conntext/contracts'
import { actorOf, type Caller, CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { type Appended, appendEvents } from '@conntext/streams'
import { messagingAudit, recordAudit } from '../audit.ts'
import { assertAccepted } from '../contacts/acceptance.ts'
import { createMessages } from '../messages/creation.ts'
import { messageErrors } from '../messages/errors.ts'
import { assertStillMay } from '../messages/loss.ts'
import { present } from '../messages/present.ts'
import { updateMessage } from '../messages/queries.ts'
import { findPreviews } from '../messages/replies.ts'
import { type Address, existing, type MessageDeps } from '../messages/service.ts'
import { isOfServer, type MessageRow, newMessage } from '../messages/shape.ts'
import { type Transaction, tables } from '../streams/writer.ts'
import { MOST_PINS, pinErrors } from './errors.ts'
import { countPins, listPins, type PinPlace } from './queries.ts'

export type PinDeps = Pick<MessageDeps, 'db' | 'write' | 'guard' | 'clock' | 'nudge'>

/**
 * Pins a message, and says so in the channel; nothing where it is pinned.
 * @throws message.notFound (404), conversation.notAccepted (403), message.fromTheServer, conversation.blocked,
 * pin.tooMany (409)
 */
export async function pinMessage(deps: PinDeps, caller: Caller, address: Address): Promise<void> {
  const { channelId } = address
  const stream = channelStream(channelId)
  await deps.write([stream], async (tx) => {
    await assertStillMay(deps, tx, caller, 'message.pin', channelId)
    const row = await existing(tx, address)
    if (isOfServer(row)) throw messageErrors.fromTheServer()
    if (row.pinnedAt) return { answer: undefined, events: [] }
    await assertAccepted(tx, channelId, caller.userId)
    if ((await countPins(tx, channelId)) >= MOST_PINS) throw pinErrors.tooMany()
    const pinnedAt = deps.clock.now()
    const at = pinnedAt.toISOString()
    await updateMessage(tx, row.id, { pinnedAt })
    await recordAudit(tx, [messagingAudit('message.pinned', actorOf(caller), row.id, { channelId })])
    const data = { id: row.id, channelId, pinnedAt: at }
    const pinned = await appendEvents(tx, tables, [{ stream, type: 'message.pinned', at, data }])
    return { answer: undefined, events: [...pinned, ...(await announce(tx, caller.userId, row, pinned[0]!, at))] }
  })
  deps.nudge()
}

/** Writes into the channel that somebody pinned the message, right after the event of it. */
async function announce(
  tx: Transaction,
  authorId: string,
  { id: replyTo, channelId }: MessageRow,
  { seq }: Appended,
  createdAt: string,
): Promise<Appended[]> {
  const replyPreview = (await findPreviews(tx, [replyTo])).get(replyTo) ?? null
  const told = { type: 'pinned', channelId, authorId, replyTo, replyPreview, createdAt } as const
  return createMessages(tx, [newMessage({ ...told, id: newId(), seq: seq + 1 })], createdAt)
}

/** Takes a pin off; nothing where there is none. @throws message.notFound (404) */
export async function unpinMessage(deps: PinDeps, caller: Caller, address: Address): Promise<void> {
  const { channelId } = address
  const stream = channelStream(channelId)
  await deps.write([stream], async (tx) => {
    await assertStillMay(deps, tx, caller, 'message.pin', channelId)
    const row = await existing(tx, address)
    if (!row.pinnedAt) return { answer: undefined, events: [] }
    await updateMessage(tx, row.id, { pinnedAt: null })
    await recordAudit(tx, [messagingAudit('message.unpinned', actorOf(caller), row.id, { channelId })])
    const at = deps.clock.now().toISOString()
    const data = { id: row.id, channelId }
    return {
      answer: undefined,
      events: await appendEvents(tx, tables, [{ stream, type: 'message.unpinned', at, data }]),
    }
  })
  deps.nudge()
}

/** A channel's pinned messages, the newest pin first. @throws request.invalid (422) for a cursor that no page gave out */
export async function readPins(
  { db }: Pick<PinDeps, 'db'>,
  viewerId: string,
  channelId: string,
  query: { limit?: string; cursor?: string },
): Promise<Page<Message>> {
  const limit = pageLimit(query.limit)
  const after = query.cursor === undefined ? undefined : placeOf(query.cursor)
  const rows = await listPins(db, channelId, { after, limit: limit + 1 })
  const last = rows.length > limit ? rows[limit - 1] : undefined
  return {
    items: await present(db, rows.slice(0, limit), viewerId),
    nextCursor: last ? encodeCursor([last.pinnedAt!.getTime(), last.id]) : null,
  }
}

function placeOf(cursor: string): PinPlace {
  const [pinnedAt, id] = decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_ID])
  return { pinnedAt: Number(pinnedAt), id: id! }
}
