import { channelStream, type EventType, eventFrame, type Media, type Message } from '@conntext/contracts'
import type { messages } from '@conntext/db-communications'
import type { Appended } from '@conntext/streams'

export type MessageRow = typeof messages.$inferSelect

export const toMessage = (row: MessageRow, media: Media[]): Message => ({
  id: row.id,
  channelId: row.channelId,
  authorId: row.authorId,
  content: row.content,
  nonce: row.nonce,
  seq: row.seq,
  replyTo: row.replyTo,
  media,
  createdAt: row.createdAt.toISOString(),
  editedAt: row.editedAt?.toISOString() ?? null,
})

/** The event of a message's creation: it has the message's number, and its id. `data` is the message as JSON text. */
export const createdEvent = (message: Message, data: string): Appended => {
  const stream = channelStream(message.channelId)
  const type: EventType = 'message.created'
  return { stream, seq: message.seq, frame: eventFrame(stream, type, message.seq, message.createdAt, data) }
}
