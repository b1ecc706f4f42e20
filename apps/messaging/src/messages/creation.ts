import type { Message } from '@conntext/contracts'
import type { Appended } from '@conntext/streams'
import { insertMentions } from '../mentions/queries.ts'
import type { Transaction } from '../streams/writer.ts'
import { insertMessages } from './send-queries.ts'
import { createdEvent } from './shape.ts'

/**
 * Stores new messages, which have the next numbers of their streams, with their events; the streams must be locked. The
 * one place where messages come to be.
 * @throws access.unauthenticated where the account of one of their authors is gone; then nothing may be committed
 */
export async function createMessages(tx: Transaction, created: Message[], at: string): Promise<Appended[]> {
  const events = created.map(createdEvent)
  // Sent one after the other without waiting: the connection runs them in this order.
  await Promise.all([insertMessages(tx, created, events, at), insertMentions(tx, created)])
  return events
}
