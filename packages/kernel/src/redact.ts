import { reportError } from './error-report.ts'

// What a field's name ends with when it holds something that nobody may read. `code` alone is an error's.
const SECRET_NAME =
  /(pass(word|phrase|code)|secret|token|authori[sz]ation|cookie|credential|content|(setup|invite|recovery|totp|otp)_?codes?|otp|(master|private|api)_?key)s?$/i

// What is a secret wherever it stands: access tokens, API tokens, what follows Bearer and Basic, a URL's password, and
// the secret in a webhook's or an invite's address.
const SECRET_TEXT =
  /eyJ[\w-]{6,}\.[\w-]{4,}\.[\w-]*|conntext_[0-9A-Za-z]{20,}|(?<=\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}|(?<=:\/\/[^\s/@:]*:)[^\s@]+(?=@)|(?<=\/v1\/webhooks\/[0-9a-f-]{36}\/)[^\s"'/?#…]+|(?<=\/v1\/invites\/)[^\s"'/?#…]+(?=\/(?:preview|redeem))/gi

export const CENSORED = '[redacted]'
const MOST_DEPTH = 6
const MOST_ENTRIES = 64
const MOST_TEXT = 4_096

/**
 * Fields as they may be logged: what has a secret's name or looks like one is censored wherever it stands, errors become
 * what `reportError` tells of them, and all of it is bounded, however deep or long it was.
 */
export const loggable = (fields: object): Record<string, unknown> => entriesOf(fields, 0)

/** Text as it may be logged. */
export function loggableText(text: string): string {
  const bounded = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text
  return bounded.length < 8 ? bounded : bounded.replace(SECRET_TEXT, CENSORED)
}

function entriesOf(value: object, depth: number): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, one] of Object.entries(value).slice(0, MOST_ENTRIES)) {
    kept[name] = one !== null && one !== undefined && SECRET_NAME.test(name) ? CENSORED : loggableValue(one, depth + 1)
  }
  return kept
}

function loggableValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return loggableText(value)
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value
  if (value instanceof Date) return value
  if (depth > MOST_DEPTH) return '…'
  if (value instanceof Error) return loggableValue({ ...reportError(value) }, depth)
  if (Array.isArray(value)) return value.slice(0, MOST_ENTRIES).map((one) => loggableValue(one, depth + 1))
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  return entriesOf(value, depth)
}
