import { type EventData, eventFrame, SERVER_STREAM, type StreamAppend, type User } from '@conntext/contracts'
import { and, eq, inArray, sql } from 'drizzle-orm'
import { serverStreams, type Transaction } from '../change.ts'

type Telling = Pick<EventData, 'user.updated' | 'member.joined' | 'member.updated'>

/** What each event says once the person it is about is gone; undefined for one that is about somebody else. */
const forgotten: { [K in keyof Telling]: (data: Telling[K], user: User) => Telling[K] | undefined } = {
  'user.updated': (data, user) => (data.id === user.id ? user : undefined),
  'member.joined': (data, user) => (data.user.id === user.id ? { ...data, user } : undefined),
  'member.updated': (data, user) => (data.userId === user.id ? { ...data, nickname: null } : undefined),
}

const isGone = ({ type, data }: StreamAppend): boolean =>
  type === 'user.updated' && (data as User | null)?.isDeleted === true

/**
 * Takes what people who have deleted their accounts were called out of the server's log: whoever was away is told what
 * happened, under its numbers, and no longer to whom. In the transaction that has the stream locked.
 */
export async function forgetDeleted(tx: Transaction, events: StreamAppend[]): Promise<void> {
  for (const event of events.filter(isGone)) await forgetUser(tx, event.data as User)
}

async function forgetUser(tx: Transaction, user: User): Promise<void> {
  const { streamEvents: log } = serverStreams
  const types = Object.keys(forgotten)
  const rows = await tx
    .select({ seq: log.seq, frame: log.frame })
    .from(log)
    .where(and(eq(log.stream, SERVER_STREAM), inArray(log.type, types), sql`position(${user.id} in ${log.frame}) > 0`))
  for (const { seq, frame } of rows) {
    const { t: type, at, d } = JSON.parse(frame) as { t: keyof Telling; at: string; d: never }
    const data = forgotten[type](d, user)
    if (!data) continue
    await tx
      .update(log)
      .set({ frame: eventFrame(SERVER_STREAM, type, seq, at, JSON.stringify(data)) })
      .where(and(eq(log.stream, SERVER_STREAM), eq(log.seq, seq)))
  }
}
