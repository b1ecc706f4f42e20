/**
 * A statement's text with comments as spaces and everything quoted as apostrophes, at the same offsets: what is left is
 * code. It finds formats and the beginning of data; how many statements there are, and what they may do, the engine's
 * own parser says.
 */
export function codeOnly(sql: string): string {
  const parts: string[] = []
  let position = 0
  const quoted = /['"`‘“$#]|--|\/\*/g
  for (let match = quoted.exec(sql); match; match = quoted.exec(sql)) {
    const end = endOfQuoted(sql, match.index)
    if (end === undefined) continue
    const filler = /[-/#]/.test(match[0]) ? ' ' : "'"
    parts.push(sql.slice(position, match.index), filler.repeat(end - match.index))
    position = end
    quoted.lastIndex = end
  }
  parts.push(sql.slice(position))
  return parts.join('')
}

/** Where the literal or comment that begins at `start` ends; `undefined` when it isn't one. */
function endOfQuoted(sql: string, start: number): number | undefined {
  const after = (text: string, from: number) => {
    const found = sql.indexOf(text, from)
    return found < 0 ? sql.length : found + text.length
  }
  switch (sql[start]) {
    case '-':
      return after('\n', start)
    case '/':
      return after('*/', start + 2)
    case '#':
      return sql[start + 1] === ' ' || sql[start + 1] === '!' ? after('\n', start) : undefined
    case '‘':
      return after('’', start + 1)
    case '“':
      return after('”', start + 1)
    case '$': {
      const tag = /^\$\w*\$/.exec(sql.slice(start, start + 130))?.[0]
      return tag === undefined ? undefined : after(tag, start + tag.length)
    }
    default:
      return endOfString(sql, start)
  }
}

function endOfString(sql: string, start: number): number {
  const quote = sql[start]!
  for (let position = start + 1; position < sql.length; position++) {
    if (sql[position] === '\\') position++
    else if (sql[position] === quote) {
      if (sql[position + 1] !== quote) return position + 1
      position++
    }
  }
  return sql.length
}

export function isInsert(code: string): boolean {
  return /^\s*INSERT\b/i.test(code)
}

/** The statement without the semicolon and comments after its end. */
export function trimEnd(sql: string, code: string): string {
  return sql.slice(0, code.replace(/[\s;]+$/, '').length)
}

/** The format that a query asks for at its end, before or after its settings. */
export function formatOf(code: string): string | undefined {
  return /\bFORMAT\s+(\w+)\s*(?:\bSETTINGS\b[^;]*)?[\s;]*$/i.exec(code)?.[1]
}

/** An INSERT that is to be followed by data, so that it ends with its format. */
export function insertPrefix(sql: string, code: string, defaultFormat: string): string {
  const trimmed = trimEnd(sql, code)
  if (/\bFORMAT\s+\w+\s*$/i.test(code.trimEnd())) return trimmed
  const values = /\bVALUES\s*$/i.exec(code.slice(0, trimmed.length))
  return values ? `${trimmed.slice(0, values.index)}FORMAT Values` : `${trimmed} FORMAT ${defaultFormat}`
}

/**
 * Whether planning this query may take long: the engine runs scalar subqueries and fills sets while it plans, and
 * a streamed query is planned on our one thread.
 */
export function isQuickToPlan(code: string): boolean {
  return /^\s*(?:SELECT|WITH)\b/i.test(code) && !/\(\s*(?:SELECT|WITH)\b/i.test(code)
}

/** A string literal. */
export function literal(value: string): string {
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/** A quoted identifier. */
export function identifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
}
