import { type Phrase, toPhrase } from './conditions.ts'
import { type Period, readPeriod } from './dates.ts'

/** What is wrong with a query; `position` counts its characters from 1. */
export class QueryFault extends Error {
  override name = 'QueryFault'

  constructor(
    message: string,
    readonly position: number,
  ) {
    super(message)
  }
}

export const attachmentKinds = ['link', 'file', 'image', 'video', 'audio'] as const
export type AttachmentKind = (typeof attachmentKinds)[number]

/** What is asked besides words. Names are as they were typed: whoever knows them resolves them. */
export type Filter = { negated: boolean } & (
  | { kind: 'from' | 'in' | 'mentions'; value: string }
  | { kind: 'has'; value: AttachmentKind }
  | { kind: 'is'; value: 'pinned' }
  | { kind: 'date'; value: Period }
)

export type Query = { phrases: Phrase[]; filters: Filter[] }

/** Terms of a query at most. */
export const MAX_TERMS = 32
// From so many letters on, the word that may still be being typed stands for all that begin with it.
const SHORTEST_BEGINNING = 3

/**
 * Reads a query. Its terms are words, `"phrases"` and `operator:value`; all must match, and those behind a `-` must
 * not. A word ending in `*` stands for all that begin with it; so does the last one, unless it is quoted or very short.
 * What looks like an operator but is none is words.
 * @throws QueryFault
 */
export function parseQuery(text: string): Query {
  const items = [...lex(text)]
  const query: Query = { phrases: [], filters: [] }
  items.forEach((item, i) => {
    if (i >= MAX_TERMS) throw new QueryFault(`at most ${MAX_TERMS} terms are taken`, item.position)
    if (item.operator) query.filters.push(toFilter(item))
    else {
      const phrase = phraseOf(item, i === items.length - 1)
      if (phrase) query.phrases.push(phrase)
    }
  })
  return query
}

type Item = {
  negated: boolean
  operator: string | undefined
  value: string
  quoted: boolean
  /** Whether a `*` stands right after it. */
  open: boolean
  position: number
}

const OPERATOR = /(from|in|has|mentions|is|before|after|on|during):/iy
// Also those that keyboards of phones make of it.
const QUOTE = /["“”„]/y
const BARE = /\S*/y
const SPACE = /\s*/y

function* lex(text: string): Generator<Item> {
  let at = 0
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? ''
    at += found.length
    return found
  }
  const quotation = (): string => {
    const opening = at - 1
    const length = text.slice(at).search(/["“”„]/)
    if (length < 0) throw new QueryFault('the quotation mark is never closed', positionOf(text, opening))
    at += length + 1
    return text.slice(at - length - 1, at - 1)
  }
  for (take(SPACE); at < text.length; take(SPACE)) {
    const start = at
    const negated = text[at] === '-'
    if (negated) at += 1
    const operator = take(OPERATOR).slice(0, -1).toLowerCase() || undefined
    const quoted = take(QUOTE) !== ''
    const written = quoted ? quotation() : take(BARE)
    const open = quoted ? take(/\*/y) !== '' : written.endsWith('*')
    yield { negated, operator, value: written, quoted, open, position: positionOf(text, start) }
  }
}

const positionOf = (text: string, unit: number): number => [...text.slice(0, unit)].length + 1

function phraseOf({ value, negated, quoted, open }: Item, isLast: boolean): Phrase | undefined {
  const phrase = toPhrase(value, { negated, prefix: open || (isLast && !quoted && !negated) })
  const last = phrase?.steps.at(-1)
  if (last?.prefix && !open && !last.head && [...last.lexeme].length < SHORTEST_BEGINNING) last.prefix = false
  return phrase
}

function toFilter({ operator, value, negated, position }: Item): Filter {
  if (value.trim() === '') throw new QueryFault(`${operator}: needs a value`, position)
  const choice = value.toLowerCase()
  switch (operator) {
    case 'from':
    case 'in':
    case 'mentions':
      return { kind: operator, value, negated }
    case 'has':
      if (isAttachmentKind(choice)) return { kind: 'has', value: choice, negated }
      throw new QueryFault(`has: takes ${attachmentKinds.join(', ')}`, position)
    case 'is':
      if (choice === 'pinned') return { kind: 'is', value: choice, negated }
      throw new QueryFault('is: takes pinned', position)
    default: {
      const period = readPeriod(operator as 'before' | 'after' | 'on' | 'during', value)
      if (period) return { kind: 'date', value: period, negated }
      throw new QueryFault(`${operator}: takes a date such as 2026-01-31, 2026-01 or 2026`, position)
    }
  }
}

const isAttachmentKind = (text: string): text is AttachmentKind => (attachmentKinds as readonly string[]).includes(text)
