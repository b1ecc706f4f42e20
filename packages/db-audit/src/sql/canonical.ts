import { refuse } from './failure.ts'

/** A statement as the engine itself writes it: on one line, without comments, quoted in one manner. */
export type Canonical = {
  text: string
  /** Names that a WITH gives to subqueries. */
  declared: Set<string>
}

// Text, then names in backticks, then words, then whatever else. The engine's own writing knows no other quotes.
const TOKEN = /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|[\p{L}_][\p{L}\p{N}_]*|\S/gsu
const PLAIN_NAME = /^[\p{L}\p{N}_ .-]{1,100}$/u
const CTE_NAME = /^[\p{L}_][\p{L}\p{N}_]{0,99}$/u

// In a statement of the engine's writing these are never names: it puts those into backticks where it has to.
const FORBIDDEN = new Map(
  Object.entries({
    RECURSIVE: 'WITH RECURSIVE is not allowed.',
    SETTINGS: 'SETTINGS is not allowed.',
    FORMAT: 'FORMAT is not allowed: the answer is JSON.',
    OUTFILE: 'INTO OUTFILE is not allowed.',
    INTERPOLATE: 'INTERPOLATE is not allowed.',
    PARALLEL: 'One statement at a time.',
  }),
)

/** @throws SqlFailure for what no honest statement has: odd names, other statements than SELECT. */
export function readCanonical(text: string): Canonical {
  const tokens = text.match(TOKEN) ?? []
  const first = tokens.find((token) => token !== '(')?.toUpperCase()
  if (first !== 'SELECT' && first !== 'WITH') refuse('Only SELECT is allowed.')
  const declared = new Set<string>()
  tokens.forEach((token, i) => {
    const forbidden = FORBIDDEN.get(token)
    if (forbidden !== undefined) refuse(forbidden)
    if (token[0] === '`' && !PLAIN_NAME.test(token.slice(1, -1))) refuse('A name has characters that are not allowed.')
    if (declares(tokens, i)) declared.add(nameOf(token))
  })
  return { text, declared }
}

// `name AS (SELECT …)` stands nowhere but in a WITH: elsewhere the name comes last.
function declares(tokens: string[], i: number): boolean {
  return (
    /^[`\p{L}_]/u.test(tokens[i]!) &&
    tokens[i + 1] === 'AS' &&
    tokens[i + 2] === '(' &&
    ['SELECT', 'WITH', '('].includes(tokens[i + 3] ?? '')
  )
}

function nameOf(token: string): string {
  const name = token[0] === '`' ? token.slice(1, -1) : token
  return CTE_NAME.test(name) ? name : refuse('A name in WITH is to be of letters, digits and underscores.')
}
