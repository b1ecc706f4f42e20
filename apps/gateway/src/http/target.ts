import { gatewayErrors } from '../errors.ts'

/** What a request asks for: the path as it came, still encoded, and the query with its `?`, or nothing. */
export type Target = { path: string; search: string }

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
const FORBIDDEN = /[\u0000-\u001f\u007f\\]|(^|\/)\.\.?(\/|$)/
const ENCODED_SEPARATOR = /%(2f|5c)/i

/**
 * Splits a request's URL once for everybody after. Anything that another parser might read as a different path is
 * refused, so that what was authorised here is what the service answers.
 * @throws gateway.badPath (400), gateway.urlTooLong (413)
 */
export function readTarget(url: string, maxBytes: number): Target {
  const start = pathStart(url)
  if (url.length - start > maxBytes) throw gatewayErrors.urlTooLong(`At most ${maxBytes} bytes.`)
  if (url.includes('#', start)) throw gatewayErrors.badPath('A fragment is not sent.')
  const query = url.indexOf('?', start)
  const path = query === -1 ? url.slice(start) : url.slice(start, query)
  const search = query === -1 ? '' : url.slice(query)
  // Bun's server resolves dot segments only where the Host is a usable one.
  if (FORBIDDEN.test(path)) throw badPath()
  if (path.includes('%')) checkEncodedPath(path)
  if (search.includes('%')) checkEncodedQuery(search)
  return { path, search }
}

/** Where the path begins: right away in a URL without a usable Host, else at the first slash after it. */
export const pathStart = (url: string): number => (url[0] === '/' ? 0 : url.indexOf('/', url.indexOf('//') + 2))

function checkEncodedPath(path: string): void {
  const decoded = decode(path)
  if (ENCODED_SEPARATOR.test(path) || FORBIDDEN.test(decoded)) throw badPath()
}

const badPath = () =>
  gatewayErrors.badPath('Encoded slashes, dot segments and control characters are not taken in a path.')

function checkEncodedQuery(search: string): void {
  if (decode(search).includes('\0')) throw gatewayErrors.badPath('A NUL character is not taken in a query.')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw gatewayErrors.badPath('The percent-encoding is not valid.')
  }
}
