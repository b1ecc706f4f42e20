/** A time from a moment on, up to but without another; null for open. */
export type Period = { from: Date | null; until: Date | null }

const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?$/i
const FIRST = Date.parse('0001-01-01T00:00:00Z')
const LAST = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * What a date operator means: `before` the beginning of a year, month or day in UTC, `after` its end, `on` and `during`
 * within. `before` and `after` also take a moment in RFC 3339. Undefined for what is no date.
 */
export function readPeriod(operator: 'before' | 'after' | 'on' | 'during', value: string): Period | undefined {
  const span = readDate(value)
  if (operator === 'on' || operator === 'during') return span
  const moment = span ? undefined : readMoment(value)
  if (operator === 'before') return bounded(null, span?.from ?? moment)
  return bounded(span?.until ?? (moment && new Date(moment.getTime() + 1)), null)
}

const bounded = (from: Date | null | undefined, until: Date | null | undefined): Period | undefined =>
  from === undefined || until === undefined ? undefined : { from, until }

function readDate(value: string): { from: Date; until: Date } | undefined {
  const [, year, month, day] = DATE.exec(value) ?? []
  if (!year) return undefined
  const text = `${year}-${month ?? '01'}-${day ?? '01'}`
  const from = new Date(`${text}T00:00:00.000Z`)
  // February 30 must not become a day of March.
  if (!isStorable(from) || !from.toISOString().startsWith(text)) return undefined
  const until = new Date(from)
  if (day) until.setUTCDate(until.getUTCDate() + 1)
  else if (month) until.setUTCMonth(until.getUTCMonth() + 1)
  else until.setUTCFullYear(until.getUTCFullYear() + 1)
  return { from, until: new Date(Math.min(until.getTime(), LAST)) }
}

function readMoment(value: string): Date | undefined {
  const [, zone] = MOMENT.exec(value) ?? []
  if (!MOMENT.test(value)) return undefined
  const moment = new Date(zone ? value : `${value}Z`)
  return isStorable(moment) ? moment : undefined
}

/** Whether it is a date, and one that the API and the database can write. */
const isStorable = (date: Date): boolean => date.getTime() >= FIRST && date.getTime() <= LAST
