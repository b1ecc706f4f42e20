import { type Token, tokenise } from './tokens.ts'

/** What is searched: a text taken apart, and its tags. */
export type SearchDocument = {
  tags: Set<string>
  byLexeme: Map<string, Token[]>
  byPosition: Map<number, Token[]>
}

/**
 * Names a property of a message as a lexeme of its own, so that one index finds words and properties together. No word
 * begins like it.
 */
export const tag = (property: string, value: string): string => `:${property}/${value}`

/** Marks a vector that doesn't hold all the places of its words: whoever finds it looks at the text itself. */
export const OVERLONG = ':overlong'

export function toDocument(text: string, tags: Iterable<string> = []): SearchDocument {
  const byLexeme = new Map<string, Token[]>()
  const byPosition = new Map<number, Token[]>()
  for (const token of tokenise(text, { parts: true })) {
    add(byLexeme, token.lexeme, token)
    add(byPosition, token.position, token)
  }
  return { tags: new Set(tags), byLexeme, byPosition }
}

function add<K>(index: Map<K, Token[]>, key: K, token: Token): void {
  const list = index.get(key)
  if (list) list.push(token)
  else index.set(key, [token])
}

// PostgreSQL's limits of a tsvector (https://www.postgresql.org/docs/current/textsearch-limitations.html).
const LAST_POSITION = 16_383
const MOST_POSITIONS = 255
const MOST_BYTES = 900_000

/** The document as the text of a `tsvector`. */
export function toVector({ byLexeme, tags }: SearchDocument): string {
  const entries: string[] = []
  let overlong = false
  let bytes = 0
  for (const [lexeme, tokens] of byLexeme) {
    // From 1 on.
    const positions = [...new Set(tokens.map((token) => token.position + 1))]
    const kept = positions.filter((position) => position <= LAST_POSITION).slice(0, MOST_POSITIONS)
    if (kept.length < positions.length) overlong = true
    bytes += Buffer.byteLength(lexeme) + 2 * kept.length + 4
    if (bytes > MOST_BYTES) {
      overlong = true
      break
    }
    entries.push(kept.length > 0 ? `${quoteLexeme(lexeme)}:${kept.join(',')}` : quoteLexeme(lexeme))
  }
  const properties = overlong ? [...tags, OVERLONG] : tags
  for (const property of properties) entries.push(quoteLexeme(property))
  return entries.join(' ')
}

/** A lexeme as `tsvector` and `tsquery` read it, whatever it holds. */
export const quoteLexeme = (lexeme: string): string => `'${lexeme.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
