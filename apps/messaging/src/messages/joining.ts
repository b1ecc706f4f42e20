import { channelStream } from '@conntext/contracts'
import { messages } from '@conntext/db-communications'
import { AppError } from '@conntext/kernel'
import { eq } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import { createMessages } from './creation.ts'
import type { MessageDeps } from './service.ts'
import { newMessage } from './shape.ts'

type Joining = { id: string; userId: string }

/**
 * Says in the server's own channel that somebody has joined; nothing where it has none, or where they are gone. The id of
 * the joining becomes the message's: it is said once.
 */
export async function announceMember(
  { write, guard, clock }: Pick<MessageDeps, 'write' | 'guard' | 'clock'>,
  joining: Joining,
): Promise<void> {
  const channelId = (await guard.authority()).snapshot.server.systemChannelId
  if (channelId === null) return
  const stream = channelStream(channelId)
  const said = write([stream], async (tx, heads) => {
    const seq = (heads.get(stream) ?? 0) + 1
    const { id, userId: authorId } = joining
    // Looked at under the stream's lock: whoever held it before may have emptied a deleted channel.
    const isThere = (await guard.authority()).hasChannel(channelId)
    if (!isThere || (await isSaid(tx, id))) return { answer: undefined, events: [] }
    const createdAt = clock.now().toISOString()
    const message = newMessage({ type: 'memberJoined', id, channelId, authorId, seq, createdAt })
    return { answer: undefined, events: await createMessages(tx, [message], createdAt) }
  })
  await said.catch((error: unknown) => {
    // Their account has gone since.
    if (!(error instanceof AppError && error.code === 'access.unauthenticated')) throw error
  })
}

/** Also where it has been deleted since. */
async function isSaid(tx: Transaction, id: string): Promise<boolean> {
  const rows = await tx.select({ id: messages.id }).from(messages).where(eq(messages.id, id))
  return rows.length > 0
}
