import type { Bus } from '@conntext/bus'
import { encodeNews, subjects } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import type { Appended } from './append.ts'

/**
 * Tells the gateways, after the commit. The events are in the log by then, so a bus that is away costs time, not
 * events: gateways fetch what they missed.
 */
export async function publishEvents(bus: Bus, log: Logger, events: Appended[]): Promise<void> {
  // The next doesn't wait for the bus to have taken the one before: calls in order are enough.
  await Promise.all(
    events.map(({ stream, seq, frame }) =>
      bus
        .publish(subjects.stream(stream), encodeNews(seq, frame))
        .catch((error: unknown) =>
          log.warn({ err: error, stream, seq }, 'an event could not be published; gateways will fetch it'),
        ),
    ),
  )
}
