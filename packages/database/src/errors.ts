type PostgresError = { code?: string; constraint_name?: string; message?: string }

// drizzle wraps what the driver threw; SQLSTATE codes are in PostgreSQL's appendix A.
function postgresError(error: unknown): PostgresError {
  const wrapped = error as { cause?: unknown }
  return (wrapped?.cause ?? error ?? {}) as PostgresError
}

/** Whether a unique constraint refused it; with a name, that one. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const { code, constraint_name } = postgresError(error)
  return code === '23505' && (constraint === undefined || constraint_name === constraint)
}

/** Whether a foreign key refused it. */
export const isForeignKeyViolation = (error: unknown): boolean => postgresError(error).code === '23503'

/**
 * Whether it refused text that Postgres cannot keep though JSON can carry it: a NUL character, or half a surrogate pair
 * in a JSON column.
 */
export function isUnstorableText(error: unknown): boolean {
  const { code, message = '' } = postgresError(error)
  return code === '22021' || code === '22P05' || (code === '22P02' && message.includes('type json'))
}

/** Whether a statement took longer than it may. */
export const isStatementTimeout = (error: unknown): boolean => postgresError(error).code === '57014'

// Class 08: connection exceptions; 57P0x: shutting down; the rest are the driver's and the OS's.
const CONNECTION_LOST =
  /^(08\w{3}|57P0[123]|CONNECTION_\w+|CONNECT_TIMEOUT|E(CONNREFUSED|CONNRESET|PIPE|NOTFOUND|AI_AGAIN|TIMEDOUT|HOSTUNREACH|NETUNREACH))$/
// Class 53: out of disk, memory or connections.
const OUT_OF_RESOURCES = /^53\w{3}$/

/** Whether the connection is gone with it: nothing more can be said over it, a rollback neither. */
export const isConnectionLost = (error: unknown): boolean => CONNECTION_LOST.test(postgresError(error).code ?? '')

/** Whether the database is away, or can't for the moment, rather than the query wrong. */
export const isDatabaseAway = (error: unknown): boolean =>
  isConnectionLost(error) || OUT_OF_RESOURCES.test(postgresError(error).code ?? '')

/** Whether it was refused for want of room on the database's disk. */
export const isDiskFull = (error: unknown): boolean => postgresError(error).code === '53100'
