import type { Media } from '@conntext/contracts'
import type { Communications } from '@conntext/db-communications'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { messagingAudit, recordAudit } from '../audit.ts'
import type { Transaction } from '../streams/writer.ts'
import { isPicture } from './content-type.ts'
import { insertMedia, type StoredBytes } from './queries.ts'
import { toMedia } from './shape.ts'
import type { Quotas } from './usage.ts'

export type RecordingDeps = { db: Communications; clock: Clock; quotas: Quotas; nudge: () => void }

/** A file that has arrived: `id` is its own. */
export type Arrived = { id: string; filename: string; contentType: string; stored: StoredBytes }

/**
 * Makes what has arrived a file of the caller's, audited; `along` is what changes with it.
 * @throws media.quotaExceeded (409), access.unauthenticated where their account is gone
 */
export async function recordMedia(
  deps: RecordingDeps,
  caller: Caller,
  { id, filename, contentType, stored }: Arrived,
  along?: (tx: Transaction) => Promise<void>,
): Promise<Media> {
  const { db, clock, quotas, nudge } = deps
  const { size, sha256 } = stored
  const state = isPicture(contentType) ? 'processing' : 'ready'
  const row = { id, ownerId: caller.userId, filename, contentType, state, createdAt: clock.now() } as const
  const event = messagingAudit('media.uploaded', actorOf(caller), id, { size, contentType, sha256 })
  const recorded = await db.transaction(async (tx) => {
    await along?.(tx)
    const inserted = await insertMedia(tx, row, stored, quotas)
    if (!inserted) throw accessErrors.unauthenticated()
    await recordAudit(tx, [event])
    return inserted
  })
  nudge()
  return toMedia(recorded)
}

/** Where the bytes of a new file are kept. The end of an id is its random part: directories fill evenly. */
export const newObjectKey = (id: string): string => `media/${id.slice(-2)}/${id}`
