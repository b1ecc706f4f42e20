import type { Job, Logger } from '@conntext/kernel'
import { findOrphans, type OrphanDeps } from './orphans.ts'

const FIRST_AFTER_MS = 10 * 60_000
const EVERY_MS = 24 * 60 * 60_000

/** Removes, once a day, what the object store has and nobody knows of. */
export const orphanSweepJob = (deps: OrphanDeps & { log: Logger }): Job => ({
  name: 'orphan sweep',
  everyMs: EVERY_MS,
  firstAfterMs: FIRST_AFTER_MS,
  async run() {
    const found = await findOrphans(deps, { repair: true })
    if (found.objects + found.uploads > 0) deps.log.info(found, 'removed what nobody knew of from the object store')
  },
})
