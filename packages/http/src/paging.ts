import { type Page, pageLimit } from '@conntext/contracts'
import { requestErrors } from './errors.ts'

/** An opaque cursor of the parts that say where a page ended. */
export const encodeCursor = (parts: (string | number)[]): string => Buffer.from(parts.join(' ')).toString('base64url')

/** The parts again. @throws request.invalid (422) for what `encodeCursor` didn't make with these patterns. */
export function decodeCursor(cursor: string, patterns: RegExp[]): string[] {
  const parts = Buffer.from(cursor, 'base64url').toString().split(' ')
  if (parts.length === patterns.length && parts.every((part, i) => patterns[i]!.test(part))) return parts
  throw requestErrors.invalid({ errors: [{ path: '/query/cursor', message: "is not a page's nextCursor" }] })
}

/** As a time in milliseconds it is before the year 5139: Postgres reads no time whose year has five digits. */
export const CURSOR_NUMBER = /^\d{1,14}$/
export const CURSOR_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Cuts a page out of a list that was read one item further than the page goes: that one tells that there is more. */
export function pageOf<Row, T>(
  rows: Row[],
  limit: number,
  toItem: (row: Row) => T,
  cursorOf: (row: Row) => string,
): Page<T> {
  const shown = rows.slice(0, limit)
  const last = rows.length > limit ? shown.at(-1) : undefined
  return { items: shown.map(toItem), nextCursor: last === undefined ? null : cursorOf(last) }
}

/**
 * What is asked of a list that goes by id: ids never change, so whatever happens between two pages, nothing is left out
 * or told twice. `after` is the last id of the page before.
 */
export type PageRequest = { limit: number; after: string | undefined }

/** @throws request.invalid (422) for a cursor that no page gave out */
export const pageRequest = (query: { limit?: string; cursor?: string }): PageRequest => ({
  limit: pageLimit(query.limit),
  after: query.cursor === undefined ? undefined : decodeCursor(query.cursor, [CURSOR_ID])[0],
})

/** A page of a list that goes by id; see `pageOf`. */
export const pageById = <Row extends { id: string }, T>(rows: Row[], limit: number, toItem: (row: Row) => T): Page<T> =>
  pageOf(rows, limit, toItem, (row) => encodeCursor([row.id]))
