import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { AuditEvent } from '@conntext/sdk'
import { type Deployment, eventually, startDeployment } from '@conntext/testing'
import { Driver } from './at-rest/drive.ts'
import { startProvider } from './at-rest/provider.ts'

/**
 * Everything that is a secret or somebody's words is done once, rightly and wrongly, while all services tell all they
 * have to tell: none of it may be in what they print, in the logs that are kept, or in the audit trail.
 */
const MINUTES = 120_000
const SMTP_PASSWORD = `smtp-${crypto.randomUUID()}`

let server: Deployment
let driver: Driver
let owner: { token: string; inviteCode: string }
let channelId: string

const provider = startProvider()

type LogEntry = {
  service: string
  requestId: string | null
  traceId: string | null
  fields: Record<string, unknown>
}
type Page<T> = { items: T[]; nextCursor: string | null }

async function all<T>(path: string): Promise<T[]> {
  const items: T[] = []
  for (let cursor = ''; ; ) {
    const page = await driver.call<Page<T>>('GET', `${path}?limit=100${cursor}`, { token: owner.token })
    items.push(...page.items)
    if (page.nextCursor === null) return items
    cursor = `&cursor=${page.nextCursor}`
  }
}

const keepWords = (what: string) => driver.keep(what, `${what.replaceAll(' ', '-')}-${crypto.randomUUID()}`)

/** Text that is somebody's, sent, changed, refused, and looked for. */
async function sayThings(token: string): Promise<void> {
  const messages = `/v1/channels/${channelId}/messages`
  const { id } = await driver.call<{ id: string }>('POST', messages, { token, body: { content: keepWords('message') } })
  await driver.call('PATCH', `${messages}/${id}`, { token, body: { content: keepWords('edited message') } })
  await driver.try('GET', `/v1/search?q=${keepWords('search')}`, { token })
  await driver.try('POST', messages, {
    token,
    body: { content: keepWords('refused message'), [keepWords('field')]: 1 },
  })
  await driver.try('POST', messages, { token, body: { content: [keepWords('no text')] } })
  await driver.try('POST', messages, { token, body: { content: `${keepWords('unstorable')}\0` } })
  const broken = await fetch(`${driver.url}${messages}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: `{ "content": ${keepWords('broken json')}`,
  })
  expect(broken.status).toBe(400)
  const file = new Blob([keepWords('file')], { type: 'text/plain' })
  const uploaded = await fetch(`${driver.url}/v1/uploads?filename=${keepWords('file name')}.txt`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
    body: file,
  })
  expect(uploaded.status).toBe(201)
}

/** Secrets in addresses and headers, right and wrong ones. */
async function useSecrets(): Promise<void> {
  const { token } = owner
  const body = { channelId, name: 'a hook' }
  const made = await driver.call<{ path: string; secret: string }>('POST', '/v1/webhooks', { token, body })
  const { path } = made
  const secret = driver.keep('webhook secret', made.secret)
  await driver.call('POST', path, { body: { content: keepWords('said by a webhook') } })
  await driver.try('POST', `${path.slice(0, -secret.length)}${keepWords('wrong webhook secret')}`, {
    body: { content: 'x' },
  })
  await driver.try('POST', path, { body: { content: [keepWords('no text of a webhook')] } })
  await driver.try('GET', `/v1/invites/${owner.inviteCode}/preview`)
  await driver.try('GET', `/v1/invites/${keepWords('wrong invite')}/preview`)
  await driver.try('GET', '/v1/users/@me', { token: driver.keep('wrong token', `conntext_${'x'.repeat(49)}`) })
  await driver.try('GET', '/v1/users/@me', { token: keepWords('garbage token') })
  await driver.try('POST', '/v1/auth/refresh', { body: { refreshToken: keepWords('wrong refresh token') } })
  const wrong = {
    username: 'mallory',
    password: keepWords('refused password'),
    setupCode: keepWords('wrong setup code'),
  }
  await driver.try('POST', '/v1/auth/register', { body: wrong })
  await driver.try('POST', '/v1/auth/password/reset', {
    body: { token: keepWords('wrong reset'), password: keepWords('new') },
  })
  await driver.try('GET', `/v1/auth/oidc/somewhere/callback?code=${keepWords('oidc code')}&state=${keepWords('state')}`)
}

/** A connection that says who it is, rightly and wrongly. */
async function connect(token: string): Promise<void> {
  for (const shown of [token, keepWords('token of a socket')]) {
    const socket = new WebSocket(`${driver.url.replace('http', 'ws')}/v1/gateway`)
    await new Promise((resolve) => socket.addEventListener('open', resolve))
    socket.send(JSON.stringify({ op: 'identify', id: 1, token: shown }))
    await new Promise((resolve) => {
      socket.addEventListener('close', resolve)
      socket.addEventListener('message', ({ data }) => /"op":"ready"/.test(String(data)) && resolve(data))
    })
    if (shown === token && socket.readyState === WebSocket.OPEN) {
      const content = keepWords('said by a socket')
      socket.send(JSON.stringify({ op: 'message.send', id: 2, channelId, nonce: crypto.randomUUID(), content }))
      await new Promise((resolve) => {
        socket.addEventListener('message', ({ data }) => /"id":2/.test(String(data)) && resolve(data))
      })
      socket.send(`{ "op": "message.send", "content": ${keepWords('broken frame')}`)
    }
    socket.close()
  }
}

beforeAll(async () => {
  server = await startDeployment({
    CONNTEXT_LOG_LEVEL: 'debug',
    CONNTEXT_SMTP_URL: `smtp://mailer:${SMTP_PASSWORD}@127.0.0.1:1`,
    CONNTEXT_MAIL_FROM: 'server@example.org',
    CONNTEXT_RATE_CREDENTIALS: '1000',
    CONNTEXT_RATE_CREDENTIALS_BURST: '1000',
  })
  driver = new Driver(server.url)
  driver.keep('SMTP password', SMTP_PASSWORD)
  owner = await driver.owner(provider.url.origin)
  const channel = { name: 'words', type: 'text' }
  channelId = (await driver.call<{ id: string }>('POST', '/v1/channels', { token: owner.token, body: channel })).id
  const anna = await driver.member('anna', 'anna@example.org', owner.inviteCode)
  await driver.try('POST', '/v1/auth/password/request-reset', { body: { login: 'anna' } })
  const proven = await driver.secondFactor({ username: 'anna', ...anna })
  await driver.passkeys({ ...proven, password: anna.password })
  await sayThings(proven.token)
  await useSecrets()
  await connect(proven.token)
}, MINUTES)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await provider.stop(true)
}, MINUTES)

function expectNothingIn(text: string): void {
  const found = [...driver.secrets].filter(([, secret]) => secret.length >= 8 && text.includes(secret))
  expect(
    found.map(([name, secret]) => `${name}: …${text.slice(text.indexOf(secret) - 200, text.indexOf(secret))}`),
  ).toEqual([])
}

test(
  'one request is followed through the services, by its id and by its trace',
  async () => {
    const requestId = `followed-${crypto.randomUUID()}`
    const traceId = crypto.randomUUID().replaceAll('-', '')
    const answer = await fetch(`${driver.url}/v1/channels/${channelId}/messages`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${owner.token}`,
        'content-type': 'application/json',
        'x-request-id': requestId,
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({ content: 'x' }),
    })
    expect(answer.status).toBe(201)
    const lines = (query: string) =>
      eventually(async () => {
        const path = `/v1/logs?${query}`
        const { items } = await driver.call<Page<LogEntry>>('GET', path, { token: owner.token })
        const services = new Set(items.map(({ service }) => service))
        return services.has('gateway') && services.has('messaging') ? items : undefined
      }, 20_000)
    const byRequest = await lines(`requestId=${requestId}`)
    expect(byRequest.every((line) => line.requestId === requestId && line.traceId === traceId)).toBe(true)
    expect(byRequest.find(({ service }) => service === 'gateway')!.fields).toMatchObject({
      operation: 'sendMessage',
      status: 201,
    })
    // Each process tells of its lines in its own time.
    await eventually(async () => {
      const [one, other] = [await lines(`requestId=${requestId}`), await lines(`traceId=${traceId}`)]
      return Bun.deepEquals(one, other)
    }, 30_000)
  },
  MINUTES,
)

test(
  'no secret and nobody’s words are printed, kept in the logs, or in the audit trail',
  async () => {
    await server.kill('SIGTERM')
    const printed = server.output()
    await server.restart()
    // What was printed last may be on its way until now.
    const told = ['gateway', 'auth', 'system', 'messaging']
    const logs = await eventually(async () => {
      const found = await all<LogEntry>('/v1/logs')
      const services = new Set(found.map(({ service }) => service))
      return found.length > 100 && told.every((service) => services.has(service)) ? found : undefined
    }, 30_000)
    expectNothingIn(printed)
    expectNothingIn(JSON.stringify(logs))
    // All has been looked at, and it was not nothing.
    expect(driver.secrets.size).toBeGreaterThan(50)
    expect(printed.split('\n').length).toBeGreaterThan(100)
    const events = await eventually(async () => {
      const found = await all<AuditEvent>('/v1/audit/events')
      return found.some(({ action }) => action === 'webhook.refused') ? found : undefined
    }, 20_000)
    expectNothingIn(JSON.stringify(events))
    expect(new Set(events.map(({ action }) => action)).size).toBeGreaterThan(10)
  },
  MINUTES,
)
