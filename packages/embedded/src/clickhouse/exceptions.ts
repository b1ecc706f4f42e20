/** An error in ClickHouse's own form, which its clients parse. Codes: ClickHouse's ErrorCodes.cpp. */
export class ClickHouseException extends Error {
  constructor(
    readonly code: number,
    readonly type: string,
    message: string,
  ) {
    super(`Code: ${code}. DB::Exception: ${message} (${type})`)
  }
}

export const exceptions = {
  badArguments: (message: string) => new ClickHouseException(36, 'BAD_ARGUMENTS', message),
  emptyQuery: () => new ClickHouseException(62, 'SYNTAX_ERROR', 'Syntax error: Empty query'),
  multiStatement: () => new ClickHouseException(62, 'SYNTAX_ERROR', 'Syntax error (Multi-statements are not allowed)'),
  notImplemented: (message: string) => new ClickHouseException(48, 'NOT_IMPLEMENTED', message),
  unknownSetting: (name: string) =>
    new ClickHouseException(115, 'UNKNOWN_SETTING', `Setting ${name} is neither a builtin setting nor a custom one`),
  tooManyQueries: () => new ClickHouseException(202, 'TOO_MANY_SIMULTANEOUS_QUERIES', 'Too many simultaneous queries'),
  unsupportedMethod: (message: string) => new ClickHouseException(1, 'UNSUPPORTED_METHOD', message),
  cancelled: () => new ClickHouseException(394, 'QUERY_WAS_CANCELLED', 'Query was cancelled'),
  sessionNotFound: () => new ClickHouseException(372, 'SESSION_NOT_FOUND', 'Session not found'),
  sessionLocked: (id: string) =>
    new ClickHouseException(373, 'SESSION_IS_LOCKED', `Session ${id} is locked by a concurrent client`),
  authenticationFailed: () =>
    new ClickHouseException(
      516,
      'AUTHENTICATION_FAILED',
      'Authentication failed: password is incorrect, or there is no user with such name.',
    ),
}

/** HTTP statuses as ClickHouse's HTTPHandler gives them; the rest is 500. */
const statuses: Record<number, number> = {
  1: 501,
  27: 400,
  36: 400,
  38: 400,
  41: 400,
  43: 400,
  44: 400,
  46: 404,
  47: 400,
  48: 501,
  50: 400,
  53: 400,
  60: 404,
  62: 400,
  81: 404,
  115: 404,
  117: 400,
  159: 408,
  164: 403,
  192: 403,
  193: 403,
  194: 403,
  202: 503,
  241: 500,
  252: 503,
  372: 404,
  373: 423,
  456: 400,
  457: 400,
  497: 403,
  516: 403,
}

/** What goes to the client for whatever was thrown: the engine's messages are already in ClickHouse's form. */
export function describe(error: unknown): { code: number; status: number; text: string } {
  const message = String(error instanceof Error ? error.message : error).trim()
  const code = Number(/^Code: (\d+)/.exec(message)?.[1] ?? 1000)
  const text = /^Code: \d+/.test(message) ? message : `Code: 1000. DB::Exception: ${message} (POCO_EXCEPTION)`
  return { code, status: statuses[code] ?? 500, text: `${text}\n` }
}

/** How ClickHouse (since 25.11) ends a response whose status has already gone out; `tag` was sent as a header. */
export function inStreamException(error: unknown, tag: string): Buffer {
  const { text } = describe(error)
  const length = Buffer.byteLength(text)
  return Buffer.from(`\r\n__exception__\r\n${tag}\r\n${text}${length} ${tag}\r\n__exception__\r\n`)
}
