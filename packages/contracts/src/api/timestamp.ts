import { FormatRegistry, Type } from '@sinclair/typebox'

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/

/** Whether a text is a moment as RFC 3339 writes it, on a day that there is. */
export function isTimestamp(text: string): boolean {
  const [, year, month, day] = RFC_3339.exec(text) ?? []
  if (year === undefined) return false
  const date = new Date(`${year}-${month}-01T00:00:00Z`)
  date.setUTCDate(Number(day))
  return date.getUTCMonth() === Number(month) - 1
}

// In place of the one that Elysia brings, which takes other ways to write a date as well, some of them in local time.
FormatRegistry.Set('date-time', isTimestamp)

export const Timestamp = Type.String({ format: 'date-time', description: 'RFC 3339, in UTC' })
