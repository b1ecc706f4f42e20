import { type Condition, occurrences } from './conditions.ts'
import { toDocument } from './document.ts'

/** A part of a text, in Unicode code points. */
export type Highlight = { start: number; length: number }

const MOST = 100

/** Where in a text the words are that were looked for: ascending, apart from each other, the first hundred. */
export function highlights(text: string, conditions: Condition[]): Highlight[] {
  const document = toDocument(text)
  const ranges: Range[] = []
  for (const condition of conditions) {
    if (condition.kind !== 'phrase' || condition.negated) continue
    for (const tokens of occurrences(document, condition)) {
      const last = tokens.at(-1)!
      ranges.push({ from: tokens[0]!.start, to: condition.steps.at(-1)!.head ? last.headEnd : last.end })
    }
  }
  return toCodePoints(text, merged(ranges).slice(0, MOST))
}

type Range = { from: number; to: number }

function merged(ranges: Range[]): Range[] {
  const result: Range[] = []
  for (const range of ranges.sort((a, b) => a.from - b.from || a.to - b.to)) {
    const last = result.at(-1)
    if (last && range.from <= last.to) last.to = Math.max(last.to, range.to)
    else result.push({ ...range })
  }
  return result
}

function toCodePoints(text: string, ranges: Range[]): Highlight[] {
  let unit = 0
  let point = 0
  const pointAt = (target: number): number => {
    while (unit < target) {
      unit += text.codePointAt(unit)! > 0xffff ? 2 : 1
      point += 1
    }
    return point
  }
  return ranges.map(({ from, to }) => {
    const start = pointAt(from)
    return { start, length: pointAt(to) - start }
  })
}
