import type { Communications } from '@conntext/db-communications'
import { findLost, type Lost } from './media/lost.ts'
import { findOrphans, type OrphanDeps, type Orphans } from './media/orphans.ts'
import { recountUsage } from './media/recount.ts'

export type MediaCheck = { orphans: Orphans; lost: Lost; miscounted: number }

/**
 * Compares what the database says of files with what the object store has; with `repair`, brings them together.
 * Nothing is deleted that has a row, or that is younger than a day.
 */
export async function checkMedia(deps: OrphanDeps, how: { repair: boolean }): Promise<MediaCheck> {
  return {
    orphans: await findOrphans(deps, how),
    lost: await findLost(deps, how),
    miscounted: await recountUsage(deps.db as Communications, how),
  }
}
