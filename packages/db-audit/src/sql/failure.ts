import { ClickHouseError } from '@clickhouse/client'

/** Why SQL from outside is not run, or came to nothing. The message is for whoever wrote it. */
export class SqlFailure extends Error {
  override name = 'SqlFailure'

  constructor(
    /** `refused` reaches for what it must not; `invalid` can't be understood; `expensive` met a limit. */
    readonly kind: 'refused' | 'invalid' | 'expensive',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

export function refuse(message: string): never {
  throw new SqlFailure('refused', message)
}

// Of ClickHouse's ErrorCodes.cpp.
const EXPENSIVE: Record<string, string> = {
  158: 'It would read too many rows.',
  159: 'It takes too long.',
  160: 'It would take too long.',
  161: 'It has too many columns.',
  162: 'Its subqueries are nested too deeply.',
  167: 'It is nested too deeply.',
  168: 'It is too large.',
  191: 'A set in it is too large.',
  241: 'It needs too much memory.',
  243: 'It needs too much room.',
  290: 'It has too many branches.',
  306: 'It is nested too deeply.',
  307: 'It would read too many bytes.',
  396: 'Its result is too large.',
}

// What whoever writes a statement gets wrong: syntax, names, types, arguments, aggregates. What the engine says of it
// speaks of the statement; of anything else it might speak of the server.
const INVALID = new Set(
  (
    '6 8 10 15 16 20 27 32 34 36 38 41 42 43 44 46 47 48 49 50 51 53 57 60 62 63 69 70 72 80 89 107 117 130 131 134 ' +
    '153 179 184 190 206 207 215 258 349 352 386 395 403 407 417 427 441 456 467 469 481 506 508 570 575 584 636 691'
  ).split(' '),
)
const LONGEST = 300

/** What the engine said of a statement, without what it adds of itself; undefined where it is the engine's own trouble. */
export function failureOf(error: unknown): SqlFailure | undefined {
  if (error instanceof SqlFailure) return error
  if (!(error instanceof ClickHouseError)) return undefined
  const expensive = EXPENSIVE[error.code]
  if (expensive !== undefined) return new SqlFailure('expensive', expensive, { cause: error })
  if (!INVALID.has(error.code)) return undefined
  return new SqlFailure('invalid', cleaned(error.message), { cause: error })
}

/** The first sentence or two: the engine goes on with the whole statement, as it has rewritten it, and where it was. */
export function cleaned(message: string): string {
  const said = message
    .replace(/^Code: \d+\.\s*/, '')
    .replace(/^DB::Exception:\s*/, '')
    .split(
      /\s*(?::\s*)?(?:\b[Ii]n (?:scope|query)\b|\bWhile (?:processing|executing)\b|: [Ww]hile |Stack trace|\(version |: In file)/,
    )[0]!
    .replace(/\b\w+\.(?=audit_events\b)/g, '')
    .replace(/\s+/g, ' ')
    .trim()
  // What a statement is quoted for by the parser may be as long as that.
  const short = said.length > LONGEST ? `${said.slice(0, LONGEST)}…` : said
  return /\bselect\b.+\bfrom\b/i.test(short) ? short.replace(/\bselect\b.*/i, '…') : short
}
