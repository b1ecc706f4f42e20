import { ADDRESS_HEADER, CREDENTIAL_HEADER, REQUEST_ID_HEADER } from '@conntext/http'

/** Said by a service that takes no more, or not yet: nobody should count on it. Absent from all others. */
export const STATE_HEADER = 'x-conntext-state'
/** `starting`: nothing was done of what was asked. `draining`: it was, and the service will soon be gone. */
export type ProcessState = 'starting' | 'draining'

/** How long a streamed body is: Bun's server takes the Content-Length off what streams. */
export const LENGTH_HEADER = 'x-conntext-length'

/** A proxy that the environment names is for what is outside: it would see the credential. */
export const DIRECT = { proxy: false } as unknown as BunFetchRequestInit

// RFC 9110, section 7.6.1: for one connection, not for the next. `expect` has been answered where it arrived.
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]
const OF_THE_REQUEST = ['host', 'expect']
// Said by the gateway, hence nothing that a client could have meant for one connection.
const OF_THE_GATEWAY = new Set([ADDRESS_HEADER, REQUEST_ID_HEADER])

/** A request's headers for the next hop. What a client library would add of its own stays away. */
export function forwarded(given: Headers, credential: string): Headers {
  const headers = new Headers(given)
  dropHopByHop(headers)
  for (const name of OF_THE_REQUEST) headers.delete(name)
  if (!headers.has('accept-encoding')) headers.set('accept-encoding', 'identity')
  if (!headers.has('user-agent')) headers.set('user-agent', '')
  headers.set(CREDENTIAL_HEADER, credential)
  return headers
}

/** The answer as it goes on: without what was said between the two services. */
export function received(response: Response): Response {
  dropHopByHop(response.headers)
  const length = response.headers.get(LENGTH_HEADER)
  if (length !== null) response.headers.set('content-length', length)
  for (const name of [STATE_HEADER, LENGTH_HEADER]) response.headers.delete(name)
  return response
}

function dropHopByHop(headers: Headers): void {
  const named = headers.get('connection')
  for (const name of HOP_BY_HOP) headers.delete(name)
  for (const part of named?.split(',') ?? []) {
    const name = part.trim().toLowerCase()
    if (/^[\w-]+$/.test(name) && !OF_THE_GATEWAY.has(name)) headers.delete(name)
  }
}
