import { confirmTime } from '@conntext/database'
import { messagingKnownTime } from '@conntext/db-communications'
import { authKnownTime, systemKnownTime } from '@conntext/db-server-details'
import { recordClockConfirmed } from '@conntext/system/admin'
import type { Place } from './place.ts'

/** Has all services take the time for true that this machine's clock tells. Answers what there is to say. */
export async function confirmClock(place: Place): Promise<string> {
  const now = new Date()
  await using communications = await place.openCommunications()
  await confirmTime(communications.db, messagingKnownTime, now)
  await place.db.transaction(async (tx) => {
    for (const table of [authKnownTime, systemKnownTime]) await confirmTime(tx, table, now)
    await recordClockConfirmed(tx, now)
  })
  return `It is ${now.toISOString()}: from now on things expire by that again.`
}
