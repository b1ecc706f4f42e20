import { equalSecrets, randomToken } from '@conntext/kernel'

const VALUE = /^[A-Za-z0-9_-]{43}$/

/**
 * Ties a login to the browser that it was begun in, so that nobody can finish theirs in somebody else's (login CSRF).
 * One value for each browser: several logins at a time don't get in each other's way.
 */
export function createBrowserBinding(publicUrl: string, lifetimeMs: number) {
  const isSecure = new URL(publicUrl).protocol === 'https:'
  // With this prefix no neighbouring host can set it (RFC 6265bis, section 4.1.3.2).
  const name = isSecure ? '__Host-conntext-oidc' : 'conntext-oidc'
  const attributes = `Path=/; Max-Age=${lifetimeMs / 1000}; HttpOnly; SameSite=Lax${isSecure ? '; Secure' : ''}`

  /** None where there are several: then one of them isn't ours. */
  const read = (headers: Headers): string | undefined => {
    const pairs = (headers.get('cookie') ?? '').split(';').map((pair) => pair.trim())
    const values = pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1))
    return values.length === 1 && VALUE.test(values[0]!) ? values[0] : undefined
  }

  return {
    /** The browser's value, a new one where it has none, and the Set-Cookie that makes it stay. */
    bind(headers: Headers): { browser: string; cookie: string } {
      const browser = read(headers) ?? randomToken()
      return { browser, cookie: `${name}=${browser}; ${attributes}` }
    },

    isSame(headers: Headers, browser: string): boolean {
      const value = read(headers)
      return value !== undefined && equalSecrets(value, browser)
    },
  }
}

export type BrowserBinding = ReturnType<typeof createBrowserBinding>
