/** Nothing that anybody has to send goes this deep. */
export const MAX_JSON_DEPTH = 64

const QUOTE = 34
const BACKSLASH = 92
const OPENING = new Set([91, 123])
const CLOSING = new Set([93, 125])

/**
 * `JSON.parse` for text from outside. A megabyte of nothing but brackets takes a parser, and whoever walks its result,
 * far longer than its size suggests, and some of them overflow the stack: it is found before anybody does.
 * @throws SyntaxError for what is no JSON, and for what is nested deeper than `MAX_JSON_DEPTH`
 */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError(`JSON nested deeper than ${MAX_JSON_DEPTH}`)
  return JSON.parse(text)
}

function isTooDeep(text: string): boolean {
  let depth = 0
  let quoted = false
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (quoted) {
      if (code === BACKSLASH) i += 1
      else if (code === QUOTE) quoted = false
    } else if (code === QUOTE) quoted = true
    else if (OPENING.has(code)) {
      depth += 1
      if (depth > MAX_JSON_DEPTH) return true
    } else if (CLOSING.has(code)) depth -= 1
  }
  return false
}
