import type { AuditActor, Permission } from '@conntext/contracts'
import { newId } from '@conntext/kernel'

/** Set by the gateway on every request that it passes on; never taken from a client. */
export const ADDRESS_HEADER = 'x-conntext-address'
export const REQUEST_ID_HEADER = 'x-request-id'

const MAX_HEADER = 512
const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/

/** Whoever makes a request, as far as it says so itself. */
export type Visitor = {
  requestId: string
  address: string | null
  userAgent: string | null
  reason: string | null
}

/** Whoever makes a request, once the token has been verified. */
export type Caller = Visitor & {
  kind: 'user' | 'bot'
  userId: string
  /** Or the API token's id. */
  sessionId: string
  /** All that an API token may be used for; null for who is logged in. */
  scopes: readonly Permission[] | null
}

const made = new WeakMap<Headers, string>()

/** The client's id of the request where it is a sane one, else a new one: always the same for one request. */
export function requestId(headers: Headers): string {
  const given = headers.get(REQUEST_ID_HEADER)
  if (given !== null && REQUEST_ID.test(given)) return given
  const id = made.get(headers) ?? newId()
  made.set(headers, id)
  return id
}

export const visitorOf = (headers: Headers): Visitor => ({
  requestId: requestId(headers),
  address: headers.get(ADDRESS_HEADER),
  // Between services one that isn't there is sent as an empty one.
  userAgent: headers.get('user-agent')?.slice(0, MAX_HEADER) || null,
  reason: decodeReason(headers.get('x-audit-reason')),
})

// Header values are Latin-1 on the wire: a reason in any other script comes percent-encoded. What no database keeps is
// left out: it must not keep what it explains from being recorded.
function decodeReason(raw: string | null): string | null {
  if (raw === null || raw === '') return null
  const kept = percentDecoded(raw).replaceAll('\0', '').slice(0, MAX_HEADER)
  return kept.isWellFormed() ? kept : kept.slice(0, -1)
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const actorOf = (who: Visitor | Caller): AuditActor => ({
  kind: 'kind' in who ? who.kind : 'anonymous',
  id: 'userId' in who ? who.userId : null,
  sessionId: 'sessionId' in who ? who.sessionId : null,
  address: who.address,
  userAgent: who.userAgent,
  requestId: who.requestId,
  reason: who.reason,
})
