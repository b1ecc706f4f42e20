import { type EventType, type StreamAppend, userStream } from '@conntext/contracts'
import { messagingOutbox } from '@conntext/db-communications'
import { newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import type { Transaction } from './writer.ts'

/** The outbox topic for events of the system service's streams. */
export const STREAM_EVENT = 'stream'

export type UserEvent = { userId: string; type: EventType; data: object; at: Date }

/** Owes somebody's own stream an event, in the transaction of what it tells of. */
export async function oweUserEvent(tx: Transaction, { userId, type, data, at }: UserEvent): Promise<void> {
  const id = newId()
  const payload: StreamAppend = { id, stream: userStream(userId), type, at: at.toISOString(), data }
  await enqueue(tx, messagingOutbox, [{ id, topic: STREAM_EVENT, payload }])
}
