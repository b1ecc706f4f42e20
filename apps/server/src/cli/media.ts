import { systemClock } from '@conntext/kernel'
import { checkMedia } from '@conntext/messaging/admin'
import type { Place } from './place.ts'

/** One line for each kind of thing that is amiss, and what was done about it. */
export async function checkFiles(place: Place, { repair }: { repair: boolean }): Promise<string[]> {
  const objects = await place.openObjects()
  await using communications = await place.openCommunications()
  const deps = { db: communications.db, objects, clock: systemClock }
  const { orphans, lost, miscounted } = await checkMedia(deps, { repair })
  const lines: [count: number, what: string, done: string][] = [
    [orphans.objects, `objects without a file (${orphans.bytes} bytes)`, 'removed'],
    [orphans.uploads, 'unfinished uploads that nobody knows of', 'removed'],
    [lost.files, 'files whose bytes are gone', 'marked as lost'],
    [lost.found, 'files whose bytes are there again', 'being looked into'],
    [lost.thumbnails, 'thumbnails that are gone', 'being made anew'],
    [miscounted, 'people, or the whole, of whom another amount was counted', 'counted'],
  ]
  const amiss = lines.filter(([count]) => count > 0)
  if (amiss.length === 0) return ['all files are in order']
  return amiss.map(([count, what, done]) => `${count} ${what}${repair ? `: ${done}` : ''}`)
}
