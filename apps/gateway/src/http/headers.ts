import { ADDRESS_HEADER, REQUEST_ID_HEADER } from '@conntext/http'
import type { Allowance } from '../rate-limit.ts'

const INTERNAL_PREFIX = 'x-conntext-'
const POLICY = "default-src 'none'; frame-ancestors 'none'"

/** Takes away whatever a client sent in the services' own headers, and sets them to what is true. */
export function cleanHeaders(headers: Headers, facts: { requestId: string; address: string }): void {
  for (const name of internalNames(headers)) headers.delete(name)
  headers.set(ADDRESS_HEADER, facts.address)
  headers.set(REQUEST_ID_HEADER, facts.requestId)
}

function internalNames(headers: Headers): string[] {
  const names: string[] = []
  for (const name of headers.keys()) if (name.startsWith(INTERNAL_PREFIX)) names.push(name)
  return names
}

/** What every answer carries, whoever made it. */
export function finishHeaders(headers: Headers, requestId: string, allowance: Allowance | undefined): void {
  headers.set(REQUEST_ID_HEADER, requestId)
  headers.set('x-content-type-options', 'nosniff')
  if (!headers.has('content-security-policy')) headers.set('content-security-policy', POLICY)
  headers.delete('server')
  headers.delete('x-powered-by')
  if (!allowance) return
  headers.set('ratelimit-limit', String(allowance.limit))
  headers.set('ratelimit-remaining', String(allowance.remaining))
  headers.set('ratelimit-reset', String(allowance.reset))
}
