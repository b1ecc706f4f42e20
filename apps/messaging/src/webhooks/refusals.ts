import { actorOf, type RefusalLog, type Visitor } from '@conntext/http'
import { messagingAudit } from '../audit.ts'

/** Records that something came to a webhook with a wrong secret, or to none (`id` null). Never fails and never waits. */
export const noteAtWebhook =
  (refusals: RefusalLog) =>
  (visitor: Visitor, id: string | null): void =>
    refusals.note(JSON.stringify(['webhook.refused', visitor.address, id]), (repeats) =>
      messagingAudit('webhook.refused', actorOf(visitor), id, repeats),
    )
