import { type HistoryQuery, type MessagePage, pageLimit } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import { isId } from '@conntext/kernel'
import { messageErrors } from './errors.ts'
import { findMoment } from './moment.ts'
import { present } from './present.ts'
import { findPosition, listMessages } from './queries.ts'

/** A page is cut at a place: `before` messages on this side of it, `from` messages at it and beyond. */
type Cut = { split: number; before: number; from: number }

/**
 * A page of a channel's messages, ascending, with the viewer's own reactions. `around` and `at` centre it: half before,
 * the rest from the place on.
 * @throws message.ambiguousPosition (422), message.notFound (404)
 */
export async function readHistory(
  db: Communications,
  viewerId: string,
  channelId: string,
  query: HistoryQuery,
): Promise<MessagePage> {
  const { split, before, from } = await cut(db, channelId, query)
  // One more than wanted on each side tells whether there are more.
  const [earlier, later] = await Promise.all([
    listMessages(db, { channelId, split, side: 'before', limit: before + 1 }),
    listMessages(db, { channelId, split, side: 'from', limit: from + 1 }),
  ])
  const rows = [...earlier.slice(0, before).reverse(), ...later.slice(0, from)]
  return {
    items: await present(db, rows, viewerId),
    hasMoreBefore: earlier.length > before,
    hasMoreAfter: later.length > from,
  }
}

async function cut(db: Communications, channelId: string, query: HistoryQuery): Promise<Cut> {
  const limit = pageLimit(query.limit)
  const given = (['before', 'after', 'around', 'at'] as const).filter((way) => query[way] !== undefined)
  const [way] = given
  if (given.length > 1) throw messageErrors.ambiguousPosition()
  if (!way) return { split: Number.MAX_SAFE_INTEGER, before: limit, from: 0 }
  const place = await (way === 'at' ? findMoment : resolve)(db, channelId, query[way]!)
  if (way === 'before') return { split: place, before: limit, from: 0 }
  if (way === 'after') return { split: place + 1, before: 0, from: limit }
  const half = Math.floor(limit / 2)
  return { split: place, before: half, from: limit - half }
}

async function resolve(db: Communications, channelId: string, position: string): Promise<number> {
  if (!isId(position)) return Number(position)
  const seq = await findPosition(db, channelId, position)
  if (seq === undefined) throw messageErrors.notFound()
  return seq
}
