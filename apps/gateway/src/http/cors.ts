const ALLOW_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE'
const ALLOW_HEADERS = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-Modified-Since',
  'If-None-Match',
  'If-Range',
  'If-Unmodified-Since',
  'Last-Event-ID',
  'Range',
  'X-Audit-Reason',
  'X-Request-Id',
  'traceparent',
  'Tus-Resumable',
  'Upload-Concat',
  'Upload-Checksum',
  'Upload-Defer-Length',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
].join(', ')
const EXPOSE_HEADERS = [
  'Accept-Ranges',
  'Allow',
  'Content-Disposition',
  'Content-Length',
  'Content-Range',
  'Date',
  'ETag',
  'Idempotency-Replayed',
  'Location',
  'RateLimit-Limit',
  'RateLimit-Remaining',
  'RateLimit-Reset',
  'Retry-After',
  'Tus-Checksum-Algorithm',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Resumable',
  'Tus-Version',
  'Upload-Expires',
  'Upload-Length',
  'Upload-Offset',
  'WWW-Authenticate',
  'X-Expected-Rows',
  'X-Missing-Instances',
  'X-Request-Id',
].join(', ')
const MAX_AGE_S = '7200'

/**
 * Cross-origin access by the configured origins. There are no cookies, so credentials are never allowed and `*` gives
 * a page nothing that it could not have from anywhere else.
 */
export function createCors(origins: string[]) {
  const any = origins.includes('*')
  const listed = new Set(origins)

  const allowed = (origin: string): boolean => any || listed.has(origin)

  const decorate = (headers: Headers, origin: string | null): void => {
    if (!any && listed.size > 0) headers.append('vary', 'Origin')
    if (origin === null || !allowed(origin)) return
    headers.set('access-control-allow-origin', any ? '*' : origin)
    headers.set('access-control-expose-headers', EXPOSE_HEADERS)
  }

  return {
    allowed,
    decorate,
    isPreflight: (request: Request): boolean =>
      request.method === 'OPTIONS' && request.headers.has('access-control-request-method'),

    preflight(origin: string | null): Response {
      const headers = new Headers()
      decorate(headers, origin)
      if (origin !== null && allowed(origin)) {
        headers.set('access-control-allow-methods', ALLOW_METHODS)
        headers.set('access-control-allow-headers', ALLOW_HEADERS)
        headers.set('access-control-max-age', MAX_AGE_S)
      }
      return new Response(null, { status: 204, headers })
    },
  }
}

export type Cors = ReturnType<typeof createCors>
