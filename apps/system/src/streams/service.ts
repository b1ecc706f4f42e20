import type { Bus } from '@conntext/bus'
import { type StreamAppend, streamChannel } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { isId, type Logger } from '@conntext/kernel'
import { appendEvents, publishEvents } from '@conntext/streams'
import { serverStreams } from '../change.ts'
import { streamErrors } from './errors.ts'
import { forgetDeleted } from './forgetting.ts'

/**
 * Appends to the server's and the users' streams what another service has to tell, and publishes it. An event whose id
 * is known is left out. Of whoever is told to be gone, what they were called leaves the log.
 * @throws stream.notHere, stream.badEventId (422): the sender sets such an event aside
 */
export async function appendForeign(
  { db, bus, log }: { db: ServerDetails; bus: Bus; log: Logger },
  events: StreamAppend[],
): Promise<void> {
  for (const { id, stream } of events) {
    if (!isId(id)) throw streamErrors.badEventId()
    if (streamChannel(stream) !== undefined) throw streamErrors.notHere(`${stream} is the messaging service's.`)
  }
  const distinct = [...new Map(events.map((event) => [event.id, event])).values()]
  const appended = await db.transaction(async (tx) => {
    const appended = await appendEvents(tx, serverStreams, distinct)
    await forgetDeleted(tx, distinct)
    return appended
  })
  await publishEvents(bus, log, appended)
}
