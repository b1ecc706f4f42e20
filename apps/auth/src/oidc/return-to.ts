import { oidcErrors } from './errors.ts'

// What parsers read differently: a browser takes a backslash for a slash and drops tabs and line ends.
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
const AMBIGUOUS = /[\u0000-\u0020\u007f\\]/
const ABSOLUTE = /^https?:\/\/[^/]/i

/**
 * Where a browser may be sent with the result of a login: a path of this server, or a URL whose origin is this server's
 * or one of `origins`, to the port.
 */
export function createReturnAddresses(publicUrl: string, origins: string[]) {
  const own = new URL(publicUrl).origin
  const allowed = new Set([own, ...origins.map((origin) => new URL(origin).origin)])

  return {
    /** @throws oidc.returnToRefused (422) */
    check(returnTo: string): string {
      const isPath = returnTo.startsWith('/') && !returnTo.startsWith('//')
      if (AMBIGUOUS.test(returnTo) || !(isPath || ABSOLUTE.test(returnTo))) throw oidcErrors.returnToRefused()
      const url = URL.canParse(returnTo, own) ? new URL(returnTo, own) : undefined
      const isPlain = url && url.username === '' && url.password === '' && !returnTo.includes('#')
      if (!isPlain || !allowed.has(url.origin)) throw oidcErrors.returnToRefused()
      return url.href
    },
  }
}

export type ReturnAddresses = ReturnType<typeof createReturnAddresses>

/** The result goes into the fragment: that one no server, log or Referer sees. */
export const withResult = (returnTo: string, result: { code: string } | { error: string }): string =>
  `${returnTo}#${new URLSearchParams(result)}`
