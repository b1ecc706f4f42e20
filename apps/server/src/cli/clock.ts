import { aheadOfDatabase, confirmTime, DIFFERENCE_MS } from '@conntext/database'
import { messagingKnownTime } from '@conntext/db-communications'
import { authKnownTime, systemKnownTime } from '@conntext/db-server-details'
import { StartError } from '@conntext/kernel'
import { recordClockConfirmed } from '@conntext/system/admin'
import type { Place } from './place.ts'

/**
 * Has all services take the time for true that this machine's clock tells. Answers what there is to say.
 * @throws StartError where the database's clock contradicts it: services would doubt it as before
 */
export async function confirmClock(place: Place, now = new Date()): Promise<string> {
  const aheadMs = await aheadOfDatabase(place.db, now)
  if (Math.abs(aheadMs) > DIFFERENCE_MS) {
    const apart = `${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the database's`
    throw new StartError(`This machine's clock is ${apart}: set right the one that is wrong first`)
  }
  await using communications = await place.openCommunications()
  await confirmTime(communications.db, messagingKnownTime, now)
  await place.db.transaction(async (tx) => {
    for (const table of [authKnownTime, systemKnownTime]) await confirmTime(tx, table, now)
    await recordClockConfirmed(tx, now)
  })
  return `It is ${now.toISOString()}: from now on things expire by that again.`
}
