export type Person = { id: string; token: string }

export const PASSWORD = 'a long enough password'

/** The HTTP API as whoever one is, without the SDK in between. What is refused throws. */
export function apiAt(url: () => string) {
  // biome-ignore lint/suspicious/noExplicitAny: answers of many routes, of which each part is used once
  async function call<T = any>(as: Person | undefined, method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(`${url()}/v1/${path}`, {
      method,
      headers: {
        ...(as ? { authorization: `Bearer ${as.token}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  async function register(username: string, code: object = {}): Promise<Person> {
    const { user, accessToken } = await call(undefined, 'POST', 'auth/register', {
      username,
      password: PASSWORD,
      ...code,
    })
    return { id: user.id, token: accessToken }
  }

  return { call, register }
}
