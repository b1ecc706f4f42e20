import type { Problem } from '@conntext/contracts'
import { AppError } from '@conntext/kernel'

export const PROBLEM_TYPE = 'application/problem+json'

/** An error as RFC 9457 problem details. Its cause stays here. */
export function toProblem(error: AppError, requestId: string): Problem {
  return {
    type: `urn:conntext:error:${error.code}`,
    title: error.title,
    status: error.status,
    code: error.code,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.errors === undefined ? {} : { errors: error.errors }),
    ...(error.retryAfter === undefined ? {} : { retryAfter: wholeSeconds(error.retryAfter) }),
    requestId,
  }
}

const wholeSeconds = (seconds: number): number => Math.max(1, Math.ceil(seconds))

export function problemResponse(error: AppError, requestId: string): Response {
  const headers = new Headers({ 'content-type': PROBLEM_TYPE, 'x-request-id': requestId })
  if (error.retryAfter !== undefined) headers.set('retry-after', String(wholeSeconds(error.retryAfter)))
  if (error.status === 401) headers.set('www-authenticate', 'Bearer')
  return new Response(JSON.stringify(toProblem(error, requestId)), { status: error.status, headers })
}

/**
 * For a route's `detail`: what it may answer beyond what any route of its form may, as descriptions by status. The
 * OpenAPI document takes them in.
 */
export const refusals = (byStatus: Record<number, string>): object => ({ [REFUSALS]: byStatus })

/** Where `refusals` stand in a route's `detail`; not part of the document. */
export const REFUSALS = 'x-refusals'

/** What a client is told of a failure that is ours: nothing but that it was. */
export const internalError = (cause: unknown): AppError =>
  new AppError('internal', 500, 'Something went wrong here', { cause })
