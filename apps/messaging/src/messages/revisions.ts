import { type MessageRevision, type Page, pageLimit } from '@conntext/contracts'
import { type CommunicationsExecutor, messageRevisions } from '@conntext/db-communications'
import { CURSOR_NUMBER, decodeCursor, encodeCursor, pageOf } from '@conntext/http'
import { and, desc, eq, inArray, isNotNull, lt } from 'drizzle-orm'
import type { Transaction } from '../streams/writer.ts'
import type { MessageRow } from './shape.ts'

// Who edits more often than this loses what they said first.
export const REVISIONS_KEPT = 50

/** Keeps what a message says before it is edited. */
export async function keepRevision(tx: Transaction, before: MessageRow): Promise<void> {
  const { id: messageId, revision, content } = before
  const writtenAt = before.editedAt ?? before.createdAt
  await tx.insert(messageRevisions).values({
    messageId,
    revision,
    content,
    writtenAt,
    seq: before.editedSeq ?? before.seq,
  })
  if (revision < REVISIONS_KEPT) return
  await tx
    .update(messageRevisions)
    .set({ content: null })
    .where(and(eq(messageRevisions.messageId, messageId), eq(messageRevisions.revision, revision - REVISIONS_KEPT)))
}

export async function deleteRevisions(tx: Transaction, messageIds: string[]): Promise<void> {
  await tx.delete(messageRevisions).where(inArray(messageRevisions.messageId, messageIds))
}

/** What a message said before, the latest first. @throws request.invalid (422) for a cursor that no page gave out */
export async function listRevisions(
  db: CommunicationsExecutor,
  messageId: string,
  query: { limit?: string; cursor?: string },
): Promise<Page<MessageRevision>> {
  const limit = pageLimit(query.limit)
  const [before] = query.cursor === undefined ? [] : decodeCursor(query.cursor, [CURSOR_NUMBER])
  const rows = await db
    .select()
    .from(messageRevisions)
    .where(
      and(
        eq(messageRevisions.messageId, messageId),
        isNotNull(messageRevisions.content),
        before === undefined ? undefined : lt(messageRevisions.revision, Math.min(Number(before), 2 ** 31 - 1)),
      ),
    )
    .orderBy(desc(messageRevisions.revision))
    .limit(limit + 1)
  return pageOf(
    rows,
    limit,
    ({ revision, content, writtenAt }) => ({ revision, content: content!, writtenAt: writtenAt.toISOString() }),
    ({ revision }) => encodeCursor([revision]),
  )
}
