/** What is compared with a request's conditions. `etag` is strong, quotes included; times are in whole seconds. */
export type Representation = { etag: string; lastModified: Date; size: number }

export type ByteSpan = { start: number; end: number }
export type Decision =
  | { status: 200 | 304 | 412 | 416 }
  | {
      status: 206
      /** Both ends included. */
      range: ByteSpan
    }

/** What a GET is to be answered, by its conditions and its range, in the order of RFC 9110, section 13.2.2. */
export function evaluateConditions(headers: Headers, representation: Representation): Decision {
  if (!preconditionsHold(headers, representation)) return { status: 412 }
  if (isUnmodified(headers, representation)) return { status: 304 }
  const range = headers.get('range')
  if (range === null || !rangeStillApplies(headers, representation)) return { status: 200 }
  const span = parseRange(range, representation.size)
  if (span === 'whole') return { status: 200 }
  return span === 'unsatisfiable' ? { status: 416 } : { status: 206, range: span }
}

function preconditionsHold(headers: Headers, { etag, lastModified }: Representation): boolean {
  const ifMatch = headers.get('if-match')
  if (ifMatch !== null) return ifMatch.trim() === '*' || entityTags(ifMatch).includes(etag)
  const since = httpDate(headers.get('if-unmodified-since'))
  return since === undefined || lastModified.getTime() <= since
}

function isUnmodified(headers: Headers, { etag, lastModified }: Representation): boolean {
  const ifNoneMatch = headers.get('if-none-match')
  if (ifNoneMatch !== null) {
    // The comparison is the weak one here: W/ makes no difference.
    const opaque = entityTags(ifNoneMatch).map((tag) => tag.replace(/^W\//, ''))
    return ifNoneMatch.trim() === '*' || opaque.includes(etag)
  }
  const since = httpDate(headers.get('if-modified-since'))
  return since !== undefined && lastModified.getTime() <= since
}

function rangeStillApplies(headers: Headers, { etag, lastModified }: Representation): boolean {
  const ifRange = headers.get('if-range')?.trim()
  if (ifRange === undefined) return true
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) return ifRange === etag
  return httpDate(ifRange) === lastModified.getTime()
}

/**
 * One range of bytes (RFC 9110, section 14.1.2). What is malformed, of another unit or more than one range is ignored,
 * as the RFC allows: the answer is then the whole.
 */
function parseRange(header: string, size: number): ByteSpan | 'whole' | 'unsatisfiable' {
  const parts = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header.trim())
  const [, first = '', last = ''] = parts ?? []
  if (first === '' && last === '') return 'whole'
  if (first === '') {
    const length = Number(last)
    return length === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < start) return 'whole'
  return start >= size ? 'unsatisfiable' : { start, end }
}

const entityTags = (list: string): string[] => list.match(/(W\/)?"[^"]*"/g) ?? []

function httpDate(text: string | null | undefined): number | undefined {
  const time = text ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? undefined : time
}
