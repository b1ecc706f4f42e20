import { type Communications, streamEvents, streams } from '@conntext/db-communications'
import { type Appended, lockStreams } from '@conntext/streams'
import type { Publication, Turn } from './publication.ts'

export const tables = { streams, streamEvents }

export type Transaction = Parameters<Parameters<Communications['transaction']>[0]>[0]

/** What a change answers, and the events that it has written. */
export type Changed<T> = { answer: T; events: Appended[] }

/**
 * Runs a change that appends to streams: in one transaction, with the streams locked first (`heads`: where each
 * stands), its events published in order after the commit.
 */
export type WriteStreams = <T>(
  names: string[],
  change: (tx: Transaction, heads: Map<string, number>) => Promise<Changed<T>>,
) => Promise<T>

export function createStreamWriter(db: Communications, publication: Publication): WriteStreams {
  return async (names, change) => {
    let turn: Turn | undefined
    try {
      const { answer, events } = await db.transaction(async (tx) => {
        const heads = await lockStreams(tx, tables, names)
        turn = publication.takeTurn(heads.keys())
        return change(tx, heads)
      })
      turn?.publish(events)
      return answer
    } catch (error) {
      turn?.forgo()
      throw error
    }
  }
}
