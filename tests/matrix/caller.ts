import type { Deployment } from '@conntext/testing'
import type { Json } from './document.ts'
import { Raw, send } from './send.ts'

export const PASSWORD = 'a long enough password'

/** Somebody with a session. Their token is replaced before it expires. */
export type Person = { id: string; username: string; token: string; sessionId: string; refreshToken: string }

/** What a login answers that is through. */
export type Account = {
  user: { id: string; username: string }
  session: { id: string }
  accessToken: string
  refreshToken: string
}

export const personOf = ({ user, session, accessToken, refreshToken }: Account): Person => ({
  id: user.id,
  username: user.username,
  token: accessToken,
  sessionId: session.id,
  refreshToken,
})

/** What every request of a tus client carries. */
export const TUS = { 'tus-resumable': '1.0.0' }

type Call = { token?: string; body?: unknown; headers?: Record<string, string> }

/** Good calls, and what is made by one alone. */
export function createCaller(server: Deployment) {
  let made = 0
  const attempt = (method: string, path: string, { token, body, headers = {} }: Call = {}) =>
    send(server.url, method, path, { path: {}, query: {}, token, headers, body })
  /** A good call. Fails when it is refused. */
  const call = async <T = Json & { id: string }>(method: string, path: string, how: Call = {}): Promise<T> => {
    const answer = await attempt(method, path, how)
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return (answer.text === '' ? undefined : JSON.parse(answer.text)) as T
  }
  return {
    attempt,
    call,
    /** A name that nothing has yet. */
    name: (what: string) => `${what}-${++made}`,
    login: async ({ username }: { username: string }) =>
      personOf(await call<Account>('POST', '/v1/auth/login', { body: { login: username, password: PASSWORD } })),
    register: async (username: string, code: Json) =>
      personOf(await call<Account>('POST', '/v1/auth/register', { body: { username, password: PASSWORD, ...code } })),
    upload: (token: string) =>
      call('POST', '/v1/uploads?filename=a.txt', {
        token,
        body: new Raw('the bytes of a file'),
        headers: { 'content-type': 'text/plain' },
      }),
    /** Begins a resumable upload of so many bytes; answers its id. */
    beginUpload: async (token: string, bytes: number): Promise<string> => {
      const headers = { ...TUS, 'upload-length': String(bytes) }
      const answer = await attempt('POST', '/v1/uploads', { token, headers })
      const id = answer.headers.get('location')?.split('/').at(-1)
      if (!id) throw new Error(`POST /v1/uploads: ${answer.status} ${answer.text}`)
      return id
    },
  }
}
export type Caller = ReturnType<typeof createCaller>
