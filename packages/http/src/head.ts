/** By this a GET that nobody reads the body of, since a HEAD is answered with it, is told. Nobody outside can say it. */
export const HEAD_HEADER = 'x-conntext-head'

/** Whether the answer's body goes nowhere. */
export const isHead = (request: Request): boolean => request.method === 'HEAD' || request.headers.has(HEAD_HEADER)

/**
 * Answers HEAD as the GET without its body (RFC 9110, section 9.3.2), for Elysia's `wrap`. Elysia's own way reads the
 * whole body to count it; here nobody reads it. A range is for GET alone (section 14.2).
 */
export const headAsGet =
  (fetch: (...request: unknown[]) => unknown) =>
  (request: Request, ...rest: unknown[]) =>
    request.method === 'HEAD' ? answerHead(request, (get) => fetch(get, ...rest)) : fetch(request, ...rest)

async function answerHead(request: Request, fetch: (get: Request) => unknown): Promise<Response> {
  const headers = new Headers(request.headers)
  headers.delete('range')
  headers.set(HEAD_HEADER, '1')
  const answer = (await fetch(new Request(request.url, { headers, signal: request.signal }))) as Response
  await answer.body?.cancel()
  return new Response(null, { status: answer.status, headers: answer.headers })
}
