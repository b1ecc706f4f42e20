/** The statuses a catalogued error may have: everything a client can cause, and a dependency that is away. */
export type ErrorStatus =
  | 400
  | 401
  | 403
  | 404
  | 405
  | 409
  | 410
  | 411
  | 412
  | 413
  | 415
  | 416
  | 422
  | 423
  | 429
  | 460
  | 503

/** One fault in the input: `path` is a JSON pointer into what was sent. */
export type InputFault = { path: string; message: string }

export type ErrorDetails = {
  /** What went wrong this time, in words for the client. Never a cause, a secret or somebody else's data. */
  detail?: string
  errors?: InputFault[]
  /** Seconds after which a repeat may succeed; becomes `Retry-After`. */
  retryAfter?: number
  cause?: unknown
}

/** The only error that may cross a boundary; becomes an RFC 9457 problem in `@conntext/http`. */
export class AppError extends Error {
  override name = 'AppError'
  readonly detail: string | undefined
  readonly errors: InputFault[] | undefined
  readonly retryAfter: number | undefined

  constructor(
    readonly code: string,
    readonly status: number,
    readonly title: string,
    details: ErrorDetails = {},
  ) {
    super(details.detail ?? title, details.cause === undefined ? undefined : { cause: details.cause })
    this.detail = details.detail
    this.errors = details.errors
    this.retryAfter = details.retryAfter
  }
}

type Spec = { status: ErrorStatus; title: string }
type Raise = (details?: string | ErrorDetails) => AppError

/**
 * A feature's error catalogue: each entry becomes a function that makes the error.
 * The code is `<namespace>.<key>`, the problem type `urn:conntext:error:<code>`.
 */
export function defineErrors<const S extends Record<string, Spec>>(namespace: string, specs: S) {
  const entries = Object.entries(specs).map(([key, spec]) => {
    const raise: Raise = (details) =>
      new AppError(
        `${namespace}.${key}`,
        spec.status,
        spec.title,
        typeof details === 'string' ? { detail: details } : details,
      )
    return [key, raise] as const
  })
  return Object.fromEntries(entries) as { [K in keyof S]: Raise }
}
