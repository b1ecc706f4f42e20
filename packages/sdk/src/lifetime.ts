/**
 * How long an access token is good for, in milliseconds, by the server's clock alone: from its own claims. Undefined
 * for what doesn't tell, such as an API token.
 */
export function lifetimeOf(token: string): number | undefined {
  try {
    const payload = token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/')
    const { iat, exp } = JSON.parse(atob(payload)) as { iat?: unknown; exp?: unknown }
    return typeof iat === 'number' && typeof exp === 'number' && exp > iat ? (exp - iat) * 1_000 : undefined
  } catch {
    return undefined
  }
}
