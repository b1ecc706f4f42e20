import { isDatabaseAway, isUnstorableText } from '@conntext/database'
import { AppError, type InputFault, type Logger } from '@conntext/kernel'
import { Elysia, ValidationError } from 'elysia'
import { requestId } from './caller.ts'
import { dependencyErrors, requestErrors } from './errors.ts'
import { faultsFrom } from './faults.ts'
import { IDEMPOTENCY_KEY_HEADER, settleIdempotency } from './idempotency.ts'
import { loggedPath } from './logged-path.ts'
import { type Observed, observing, type Route } from './observe.ts'
import { internalError, problemResponse } from './problem.ts'
import { isJson, readNothing, readStrictly, refuseRepeated, refusingNothing, refusingQueries } from './strict.ts'

/** Turns whatever was thrown into what may be told; what is our own fault is logged with its cause. */
export function toAppError(code: string | number, error: unknown, log: Logger, about: object): AppError {
  if (error instanceof AppError && error.status < 500) return error
  // A response that breaks its own schema is our bug, never the caller's 422.
  if (error instanceof ValidationError && error.type !== 'response') {
    return requestErrors.invalid({ errors: faultsOf(error) })
  }
  if (code === 'PARSE') return requestErrors.unparsable('The body is not valid JSON.')
  if (code === 'NOT_FOUND') return requestErrors.noSuchRoute()
  if (isUnstorableText(error)) return requestErrors.invalid('A text holds a character that cannot be kept.')
  if (error instanceof AppError || isDatabaseAway(error)) {
    log.warn({ ...about, err: error }, 'a dependency is away')
    return error instanceof AppError ? error : dependencyErrors.away({ retryAfter: 1, cause: error })
  }
  // A validation error carries the whole answer, other people's words included: only where it broke is logged.
  const logged = error instanceof ValidationError ? { outOfContract: faultsOf(error) } : { err: error }
  log.error({ ...about, ...logged }, 'a request failed')
  return internalError(error)
}

const faultsOf = (error: ValidationError): InputFault[] => faultsFrom(error.all, `/${error.type}`)

/**
 * The root of every Elysia app here: problems for errors, unknown fields refused instead of dropped, JSON bodies only
 * where a route doesn't read its body itself (`rawBodies`: path prefixes). What a `service` answers is counted.
 */
export const baseApp = (options: Observed & { rawBodies?: string[] }) => {
  let routes: () => readonly Route[] = () => []
  const app = new Elysia({ normalize: false, strictPath: true })
    .wrap(observing(options, () => routes()))
    .wrap(settling)
    .onError({ as: 'global' }, ({ code, error, request }) => {
      const id = requestId(request.headers)
      const about = { requestId: id, method: request.method, path: loggedPath(new URL(request.url).pathname) }
      return problemResponse(toAppError(code, error, options.log, about), id)
    })
    .onRequest(({ request }) => {
      refuseRepeated(request.url)
      if (request.body === null) return request.method === 'GET' ? undefined : readNothing(request)
      if (isJson(request.headers)) return readStrictly(request)
      const { pathname } = new URL(request.url)
      if (options.rawBodies?.some((prefix) => pathname.startsWith(prefix))) return
      throw requestErrors.wrongContentType('Send application/json.')
    })
  routes = () => app.routes
  return app
    .onTransform({ as: 'global' }, refusingNothing(routes))
    .onBeforeHandle({ as: 'global' }, refusingQueries(routes))
}

// Around everything, so that it sees the final answer whether a handler or an error made it.
const settling =
  (fetch: (...request: unknown[]) => unknown) =>
  (request: Request, ...rest: unknown[]) => {
    const answer = fetch(request, ...rest) as Response | Promise<Response>
    if (!request.headers.has(IDEMPOTENCY_KEY_HEADER)) return answer
    return Promise.resolve(answer).then((final) => settleIdempotency(request, final))
  }
