import type { TimeWindow } from '@conntext/db-audit'

const DAY_MS = 86_400_000
const EVERYTHING: TimeWindow = { from: new Date(0), to: new Date(Date.UTC(2200, 0, 1)) }

/** Where to look for an event, one after the other. */
export const windowsOf = (id: string): TimeWindow[] => [aroundId(id), EVERYTHING]

/** An id is made when its event happens and says so (RFC 9562): a look at that day spares a search through all. */
function aroundId(id: string): TimeWindow {
  const made = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
  const bounded = Math.min(made, EVERYTHING.to.getTime())
  return { from: new Date(Math.max(0, bounded - DAY_MS)), to: new Date(bounded + DAY_MS) }
}
