import { type Token, tokenise } from './tokens.ts'

/** What is searched: a text taken apart, and its tags. */
export class SearchDocument {
  #byLexeme: Map<string, Token[]> | undefined
  #byPosition: Map<number, Token[]> | undefined

  constructor(
    readonly tokens: readonly Token[],
    readonly tags: ReadonlySet<string>,
  ) {}

  get byLexeme(): ReadonlyMap<string, Token[]> {
    this.#byLexeme ??= Map.groupBy(this.tokens, (token) => token.lexeme)
    return this.#byLexeme
  }

  get byPosition(): ReadonlyMap<number, Token[]> {
    this.#byPosition ??= Map.groupBy(this.tokens, (token) => token.position)
    return this.#byPosition
  }
}

/**
 * Names a property of a message as a lexeme of its own, so that one index finds words and properties together. No word
 * begins like it.
 */
export const tag = (property: string, value: string): string => `:${property}/${value}`

/** Marks a vector that doesn't hold all the places of its words: whoever finds it looks at the text itself. */
export const OVERLONG = ':overlong'

export const toDocument = (text: string, tags: Iterable<string> = []): SearchDocument =>
  new SearchDocument(tokenise(text, { parts: true }), new Set(tags))

// PostgreSQL's limits of a tsvector (https://www.postgresql.org/docs/current/textsearch-limitations.html).
const LAST_POSITION = 16_383
const MOST_POSITIONS = 255
const MOST_BYTES = 900_000

/** The document as the text of a `tsvector`. */
export function toVector({ tokens, tags }: SearchDocument): string {
  const places = placesOf(tokens)
  const entries: string[] = []
  let isOverlong = places.isCut
  let bytes = 0
  for (const [lexeme, positions] of places.byLexeme) {
    bytes += Buffer.byteLength(lexeme) + 2 * positions.length + 4
    if (bytes > MOST_BYTES) {
      isOverlong = true
      break
    }
    entries.push(positions.length > 0 ? `${quoteLexeme(lexeme)}:${positions.join(',')}` : quoteLexeme(lexeme))
  }
  for (const property of tags) entries.push(quoteLexeme(property))
  if (isOverlong) entries.push(quoteLexeme(OVERLONG))
  return entries.join(' ')
}

/** Where each lexeme stands, from 1 on, as far as a `tsvector` holds it. */
function placesOf(tokens: readonly Token[]) {
  const byLexeme = new Map<string, number[]>()
  let isCut = false
  for (const { lexeme, position } of tokens) {
    const place = position + 1
    const known = byLexeme.get(lexeme)
    // They come in their order; two parts of one word may be the same.
    if (known?.at(-1) === place) continue
    const isKept = place <= LAST_POSITION && (known === undefined || known.length < MOST_POSITIONS)
    if (!isKept) isCut = true
    if (!known) byLexeme.set(lexeme, isKept ? [place] : [])
    else if (isKept) known.push(place)
  }
  return { byLexeme, isCut }
}

/** A lexeme as `tsvector` and `tsquery` read it, whatever it holds. */
export const quoteLexeme = (lexeme: string): string =>
  SPECIAL.test(lexeme) ? `'${lexeme.replaceAll('\\', '\\\\').replaceAll("'", "''")}'` : `'${lexeme}'`

const SPECIAL = /['\\]/
