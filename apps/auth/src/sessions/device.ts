import Bowser from 'bowser'

/** A user agent in a few words, such as `Firefox on Linux`; null where it says nothing. */
export function deviceOf(userAgent: string | null): string | null {
  if (!userAgent) return null
  const { browser, os } = Bowser.parse(userAgent)
  if (browser.name && os.name) return `${browser.name} on ${os.name}`
  return browser.name || os.name || null
}
