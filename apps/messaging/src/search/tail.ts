import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CommunicationsExecutor } from '@conntext/db-communications'
import { matches, type SearchDocument } from '@conntext/search-text'
import type { MessageRow } from '../messages/shape.ts'
import { documentsOf } from './documents.ts'
import { type Backlog, listBacklog, listUnindexed, type Reach } from './queries.ts'
import type { Terms } from './terms.ts'

/** A message that fits, though the index doesn't know it yet. */
export type TailHit = { row: MessageRow; document: SearchDocument }

// A second's messages are there at most, but for when the index is being made.
const MOST_READ = 5_000
const AT_ONCE = 250

/**
 * Looks through what is not in the index yet: what was sent within about a second, or everything that was there before
 * there was an index. Of that, in each channel the newest; `isComplete` tells whether that was all.
 */
export async function searchTail(
  tx: CommunicationsExecutor,
  terms: Terms,
  reach: Reach,
): Promise<{ hits: TailHit[]; isComplete: boolean }> {
  const backlogs = await listBacklog(tx, terms.channelIds)
  const share = Math.ceil(MOST_READ / Math.max(1, backlogs.length))
  const hits: TailHit[] = []
  let isComplete = true
  for (const backlog of backlogs) {
    if (!(await searchBacklog(tx, backlog, { terms, reach, share, hits }))) isComplete = false
  }
  return { hits, isComplete }
}

type Task = { terms: Terms; reach: Reach; share: number; hits: TailHit[] }

/** Answers whether all was looked at. */
async function searchBacklog(tx: CommunicationsExecutor, backlog: Backlog, task: Task): Promise<boolean> {
  const { terms, reach, share, hits } = task
  let beforeSeq = Number.MAX_SAFE_INTEGER
  for (let read = 0; read < share; ) {
    const limit = Math.min(AT_ONCE, share - read)
    const rows = await listUnindexed(tx, backlog, { terms, reach, beforeSeq, limit })
    const documents = await documentsOf(tx, rows)
    rows.forEach((row, i) => {
      const document = documents[i]!
      if (matches(document, terms.conditions)) hits.push({ row, document })
    })
    if (rows.length < limit) return true
    read += rows.length
    beforeSeq = rows.at(-1)!.seq
    // Others have their turn between two of these.
    await nextTurn()
  }
  return false
}
