import type { SystemHealth } from '@conntext/sdk'
import { SETUP_CODE } from '@conntext/testing'

export const PASSWORD = 'a long enough password'
const PATIENCE_MS = 30_000

export type Answer<T = Record<string, unknown>> = { status: number; headers: Headers; body: T }
type Asking = { token?: string; body?: unknown; headers?: Record<string, string> }

/** Asks a server that may well be unable to answer: what never comes is an error. */
export async function ask<T = Record<string, unknown>>(
  url: string,
  method: string,
  path: string,
  { token, body, headers }: Asking = {},
): Promise<Answer<T>> {
  const response = await fetch(url + path, {
    method,
    signal: AbortSignal.timeout(PATIENCE_MS),
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T }
}

/** All pages of a list; `path` has a query. */
export async function listAll<T>(url: string, token: string, path: string): Promise<T[]> {
  const items: T[] = []
  for (let cursor = ''; ; ) {
    const { body } = await ask<{ items: T[]; nextCursor: string | null }>(url, 'GET', path + cursor, { token })
    items.push(...body.items)
    if (body.nextCursor === null) return items
    cursor = `&cursor=${body.nextCursor}`
  }
}

/** Settings without limits to how much is asked. */
export const UNLIMITED = Object.fromEntries(
  ['ACCOUNT', 'ADDRESS', 'CREDENTIALS', 'MESSAGES', 'FRAMES'].map((what) => [`CONNTEXT_RATE_${what}`, '0']),
)

/** A new server's owner in a channel: says things, and remembers what was acknowledged. */
export async function settleIn(url: string) {
  const registered = await ask<{ accessToken: string }>(url, 'POST', '/v1/auth/register', {
    body: { username: 'olga', password: PASSWORD, setupCode: SETUP_CODE },
  })
  const token = registered.body.accessToken
  const channel = await ask<{ id: string }>(url, 'POST', '/v1/channels', {
    token,
    body: { name: 'talk', type: 'text' },
  })
  const messages = `/v1/channels/${channel.body.id}/messages`
  const acknowledged: { id: string; nonce: string }[] = []
  return {
    token,
    messages,
    acknowledged,
    async say(content: string, nonce: string = crypto.randomUUID()): Promise<Answer> {
      const answer = await ask<{ id: string }>(url, 'POST', messages, { token, body: { content, nonce } })
      if (answer.status === 201) acknowledged.push({ id: answer.body.id, nonce })
      return answer
    },
    /** All that is kept, by id. */
    async history(): Promise<Map<string, string>> {
      const found = new Map<string, string>()
      for (let after = ''; ; ) {
        const { body } = await ask<{ items: { id: string; nonce: string }[] }>(
          url,
          'GET',
          `${messages}?limit=100${after}`,
          { token },
        )
        for (const { id, nonce } of body.items) found.set(id, nonce)
        if (body.items.length < 100) return found
        after = `&after=${body.items
          .map(({ id }) => id)
          .sort()
          .at(-1)}`
      }
    },
    health: async () => (await ask<SystemHealth>(url, 'GET', '/v1/system/health', { token })).body,
  }
}

/** What isn't well, by service and dependency. */
export const ailing = (health: SystemHealth) =>
  Object.fromEntries(
    health.services.flatMap(({ service, dependencies }) =>
      dependencies.filter(({ state }) => state !== 'up').map((one) => [`${service}: ${one.name}`, one]),
    ),
  )

/** The sum of a metric's series whose labels contain the text, over all processes. */
export async function metric(url: string, token: string, name: string, labels = ''): Promise<number> {
  const { body } = await ask<string>(url, 'GET', '/v1/system/metrics', { token })
  return body
    .split('\n')
    .filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
