import { requestErrors } from '@conntext/http'

/** An opaque cursor of the parts that say where a page ended. */
export const encodeCursor = (parts: (string | number)[]): string => Buffer.from(parts.join(' ')).toString('base64url')

/** The parts again. @throws request.invalid (422) for what `encodeCursor` didn't make with these patterns. */
export function decodeCursor(cursor: string, patterns: RegExp[]): string[] {
  const parts = Buffer.from(cursor, 'base64url').toString().split(' ')
  if (parts.length === patterns.length && parts.every((part, i) => patterns[i]!.test(part))) return parts
  throw requestErrors.invalid({ errors: [{ path: '/query/cursor', message: "is not a page's nextCursor" }] })
}

export const CURSOR_NUMBER = /^\d{1,15}$/
export const CURSOR_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Cuts a page out of a list that was read one item further than the page goes. */
export function pageOf<T, U>(rows: T[], limit: number, toItem: (row: T) => U, cursorOf: (row: T) => string) {
  const shown = rows.slice(0, limit)
  const last = rows.length > limit ? shown.at(-1) : undefined
  return { items: shown.map(toItem), nextCursor: last === undefined ? null : cursorOf(last) }
}
