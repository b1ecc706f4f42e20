import { type Page, pageLimit } from '@conntext/contracts'
import { requestErrors } from '@conntext/http'
import { isId } from '@conntext/kernel'

/** Lists here page by id: ids never change, so whatever happens between two pages, nobody is left out or told twice. */
export type PageRequest = { limit: number; after: string | undefined }

const encode = (id: string): string => Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')

function decode(cursor: string): string {
  const hex = Buffer.from(cursor, 'base64url').toString('hex')
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  if (!isId(id)) throw requestErrors.invalid({ errors: [{ path: '/query/cursor', message: 'is not a cursor' }] })
  return id
}

/** @throws request.invalid (422) for a cursor that no page gave out */
export const pageRequest = (query: { limit?: string; cursor?: string }): PageRequest => ({
  limit: pageLimit(query.limit),
  after: query.cursor === undefined ? undefined : decode(query.cursor),
})

/** A page from rows that were read with one more than the limit: that one tells whether there is another page. */
export function toPage<Row extends { id: string }, T>(rows: Row[], limit: number, map: (row: Row) => T): Page<T> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return { items: shown.map(map), nextCursor: last && rows.length > limit ? encode(last.id) : null }
}
