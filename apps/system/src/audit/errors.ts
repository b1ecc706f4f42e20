import { isAuditAway } from '@conntext/db-audit'
import { dependencyErrors } from '@conntext/http'
import { defineErrors } from '@conntext/kernel'

export const auditErrors = defineErrors('audit', {
  notFound: { status: 404, title: 'No such event' },
  badWindow: { status: 422, title: 'The window of time is not valid' },
  unstorable: { status: 422, title: 'An audit event cannot be stored' },
  notKept: { status: 503, title: 'The audit database does not keep what it acknowledged' },
  notProven: { status: 409, title: 'The event is not part of the proven log' },
  tampered: { status: 409, title: 'What is stored is not what was proven' },
  noBatches: { status: 404, title: 'The log has no batch yet' },
  badCheckpoint: { status: 422, title: 'That is no checkpoint' },
  badRange: { status: 422, title: 'The log has no such batches' },
  busy: { status: 409, title: 'Enough verifications are under way' },
  noVerification: { status: 404, title: 'No such verification' },
})

const RETRY_AFTER_S = 5

export const auditAway = (cause: unknown) =>
  dependencyErrors.away({ detail: 'The audit database is away for the moment.', retryAfter: RETRY_AFTER_S, cause })

/** What the audit database answers; that it is away becomes dependency.away (503). */
export async function fromAudit<T>(asking: Promise<T>): Promise<T> {
  try {
    return await asking
  } catch (error) {
    throw isAuditAway(error) ? auditAway(error) : error
  }
}
