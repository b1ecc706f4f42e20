import Bowser from 'bowser'

// As RFC 9110 has it (section 10.1.5), with nothing after it: how programs call themselves that are no browsers.
const PRODUCT = /^([\w!#$%&'*+.^`|~-]{1,64})(?:\/[\w!#$%&'*+.^`|~-]+)?$/

/** A user agent in a few words, such as `Firefox on Linux` or `curl`; null where it says nothing. */
export function deviceOf(userAgent: string | null): string | null {
  if (!userAgent) return null
  const { browser, os } = Bowser.parse(userAgent)
  if (browser.name && os.name) return `${browser.name} on ${os.name}`
  return browser.name || os.name || PRODUCT.exec(userAgent)?.[1] || null
}
