import { OVERLONG, quoteLexeme, type SearchDocument } from './document.ts'
import { type Token, tokenise } from './tokens.ts'

/** One lexeme of a phrase, `distance` positions after the one before it. */
export type Step = { lexeme: string; prefix: boolean; head: boolean; distance: number }

/** Words that must stand next to each other; a single word is a phrase of one. */
export type Phrase = { kind: 'phrase'; steps: Step[]; negated: boolean }
/** Properties, of which one must be there. With none it can't be fulfilled. */
export type Properties = { kind: 'properties'; anyOf: string[]; negated: boolean }
/** What is asked of a document; of several, all. */
export type Condition = Phrase | Properties

/** The words of a query as a phrase; undefined where there are none. `prefix`: the last word may go on. */
export function toPhrase(text: string, options: { negated: boolean; prefix: boolean }): Phrase | undefined {
  const tokens = tokenise(text, { parts: false })
  // The last character of a run is in the pair before it.
  const asked = tokens.filter(({ kind }, i) => kind !== 'last' || tokens[i - 1]?.kind !== 'pair')
  if (asked.length === 0) return undefined
  const steps = asked.map(({ kind, lexeme, position }, i) => ({
    lexeme,
    prefix: kind === 'last' || (options.prefix && kind === 'word' && i === asked.length - 1),
    head: kind === 'last',
    distance: i === 0 ? 0 : position - asked[i - 1]!.position,
  }))
  return { kind: 'phrase', steps, negated: options.negated }
}

/** Whether a document is what is asked for. */
export const matches = (document: SearchDocument, conditions: Condition[]): boolean =>
  conditions.every((condition) => holds(document, condition) !== condition.negated)

function holds(document: SearchDocument, condition: Condition): boolean {
  if (condition.kind === 'properties') return condition.anyOf.some((property) => document.tags.has(property))
  for (const _ of occurrences(document, condition)) return true
  return false
}

/** Every place where a phrase stands, as its tokens. */
export function* occurrences(document: SearchDocument, { steps }: Phrase): Generator<Token[]> {
  const [first, ...rest] = steps as [Step, ...Step[]]
  for (const token of candidates(document, first)) {
    const found = [token]
    let { position } = token
    for (const step of rest) {
      position += step.distance
      const next = document.byPosition.get(position)?.find((one) => fits(one, step))
      if (!next) break
      found.push(next)
    }
    if (found.length === steps.length) yield found
  }
}

const fits = ({ lexeme }: Token, step: Step): boolean =>
  step.prefix ? lexeme.startsWith(step.lexeme) : lexeme === step.lexeme

function* candidates({ byLexeme }: SearchDocument, step: Step): Generator<Token> {
  if (!step.prefix) yield* byLexeme.get(step.lexeme) ?? []
  else for (const [lexeme, tokens] of byLexeme) if (lexeme.startsWith(step.lexeme)) yield* tokens
}

/** A query that can't find anything, whatever there is. */
export const isHopeless = (conditions: Condition[]): boolean =>
  conditions.some((one) => one.kind === 'properties' && !one.negated && one.anyOf.length === 0)

/**
 * The conditions as the text of a `tsquery`; undefined where they leave nothing to ask. Of overlong documents it finds
 * all that `matches` does, and more.
 */
export function toTsquery(conditions: Condition[]): string | undefined {
  const strict = join(conditions, (steps) => steps.map(spaced).join(' '))
  const loose = join(conditions, (steps, negated) =>
    steps.length === 1 || !negated ? steps.map(lexemeOf).join(' & ') : undefined,
  )
  if (strict === loose || strict === undefined) return strict
  const overlong = [quoteLexeme(OVERLONG), loose].filter((one) => one !== undefined).join(' & ')
  return `(${strict}) | (${overlong})`
}

/** What the words that are looked for are ranked by; undefined where there are none. */
export function toRankQuery(conditions: Condition[]): string | undefined {
  const wanted = conditions.filter((one) => one.kind === 'phrase' && !one.negated)
  return join(wanted, (steps) => steps.map(lexemeOf).join(' & '))
}

type Wording = (steps: Step[], negated: boolean) => string | undefined

function join(conditions: Condition[], wording: Wording): string | undefined {
  const parts = conditions.flatMap((one) => {
    const text = one.kind === 'phrase' ? wording(one.steps, one.negated) : one.anyOf.map(quoteLexeme).join(' | ')
    return text ? `${one.negated ? '!' : ''}(${text})` : []
  })
  return parts.length > 0 ? parts.join(' & ') : undefined
}

const lexemeOf = ({ lexeme, prefix }: Step): string => quoteLexeme(lexeme) + (prefix ? ':*' : '')

const spaced = (step: Step, index: number): string =>
  index === 0 ? lexemeOf(step) : `<${step.distance}> ${lexemeOf(step)}`
