import { isDatabaseAway } from '@conntext/database'
import { AppError, defineErrors } from '@conntext/kernel'

/** What can be wrong with any request, whatever it asks for. */
export const requestErrors = defineErrors('request', {
  invalid: { status: 422, title: 'The request is not valid' },
  unparsable: { status: 400, title: 'The body could not be read' },
  noSuchRoute: { status: 404, title: 'No such route' },
  wrongMethod: { status: 405, title: 'That method is not for this route' },
  wrongContentType: { status: 415, title: 'The body is of a type that is not taken here' },
  tooLarge: { status: 413, title: 'The body is too large' },
  tooMany: { status: 429, title: 'Too many requests' },
})

export const accessErrors = defineErrors('access', {
  unauthenticated: { status: 401, title: 'Authentication is required' },
  forbidden: { status: 403, title: 'A permission is missing' },
  notForTokens: { status: 403, title: 'This cannot be done with an API token: log in' },
  notAMember: { status: 403, title: 'Only members can do this: join again first' },
  mfaRequired: { status: 403, title: 'This server asks for a second factor: set one up first' },
})

/** The one answer for what does not exist and for what the caller may not know to exist. */
export const channelNotFound = defineErrors('channel', { notFound: { status: 404, title: 'No such channel' } }).notFound

export const dependencyErrors = defineErrors('dependency', {
  away: { status: 503, title: 'A part of the server is away for the moment' },
})

/** Whether a failure is that a neighbour or a database is away, which passes. */
export const isDependencyAway = (error: unknown): boolean =>
  (error instanceof AppError && error.status === 503) || isDatabaseAway(error)
