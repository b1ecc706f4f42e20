const MAX_CAUSES = 5

/** An error as it may be logged. */
export type ErrorReport = {
  type: string
  message: string
  code?: unknown
  stack: string
  /** Postgres: what refused it. Not its `detail`, which quotes the row. */
  constraint?: unknown
  cause?: unknown
  errors?: unknown[]
}

type Details = Partial<Record<'code' | 'constraint_name' | 'query' | 'errors', unknown>>

/**
 * What the log gets of an error: what it is, where it was made, and its causes. None of the properties that libraries
 * hang on their errors, because those hold requests, rows and parameters.
 */
export function reportError(error: Error, depth = 0): ErrorReport {
  const { code, constraint_name, errors } = error as Details
  const inner = (one: unknown) => (one instanceof Error && depth < MAX_CAUSES ? reportError(one, depth + 1) : undefined)
  const cause = inner(error.cause)
  return {
    type: error.name,
    message: messageOf(error),
    ...(code === undefined ? {} : { code }),
    ...(constraint_name === undefined ? {} : { constraint: constraint_name }),
    stack: framesOf(error),
    ...(cause && { cause }),
    ...(Array.isArray(errors) && { errors: errors.slice(0, MAX_CAUSES).map(inner) }),
  }
}

// drizzle puts a statement's parameters into its message, and Postgres a value that is wrong by itself (class 22 of its
// codes): passwords' hashes and people's words among them.
function messageOf(error: Error): string {
  const { code, query } = error as Details
  if (error.name === 'PostgresError') return String(code).startsWith('22') ? 'a value was refused' : error.message
  return typeof query === 'string' ? `Failed query: ${query}` : error.message
}

// A stack begins with the message, in as many lines as that has.
const framesOf = ({ stack = '' }: Error): string =>
  stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n')
