import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { faultsOfAnswer } from './matrix/check.ts'
import type { Answer } from './matrix/send.ts'

const PASSWORD = 'a long enough password'
const ACCOUNT_BURST = 15
const CREDENTIALS_BURST = 8

/** With limits that are small enough to run into: per account, and per address where credentials are tried. */
let server: Deployment
/** Each gateway counts for itself: to one of them goes whatever is counted. */
let gateway: string
let tokens: { olga: string; maxim: string }

beforeAll(async () => {
  server = await startDeployment({
    CONNTEXT_TRUSTED_PROXIES: '1',
    CONNTEXT_RATE_ACCOUNT: '1',
    CONNTEXT_RATE_ACCOUNT_BURST: String(ACCOUNT_BURST),
    CONNTEXT_RATE_CREDENTIALS: '1',
    CONNTEXT_RATE_CREDENTIALS_BURST: String(CREDENTIALS_BURST),
  })
  gateway = server.gateways[0]!
  const olga = await account({ username: 'olga', setupCode: SETUP_CODE })
  const invite = await ask('POST', '/v1/invites', { token: olga, body: {} })
  const maxim = await account({ username: 'maxim', inviteCode: (JSON.parse(invite.text) as { code: string }).code })
  tokens = { olga, maxim }
}, 120_000)

afterAll(() => server?.[Symbol.asyncDispose](), 60_000)

type Asking = { token?: string; body?: object; address?: string; at?: string }

async function ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
  const { token, body, address = '10.0.0.1', at = gateway } = asking
  const response = await fetch(at + path, {
    method,
    headers: {
      'x-forwarded-for': address,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

async function account(body: object): Promise<string> {
  const answer = await ask('POST', '/v1/auth/register', { body: { password: PASSWORD, ...body }, address: '10.9.9.9' })
  return (JSON.parse(answer.text) as { accessToken: string }).accessToken
}

test('an account that asks too often is told when to come back, and may then', async () => {
  const mine = () => ask('GET', '/v1/users/@me', { token: tokens.maxim })
  const answers = await Promise.all(Array.from({ length: ACCOUNT_BURST + 10 }, mine))
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused.length).toBeGreaterThan(1)
  for (const answer of answers) {
    expect(faultsOfAnswer(answer, 'GET')).toEqual([])
    expect(answer.headers.get('ratelimit-limit')).toBe(String(ACCOUNT_BURST))
    expect(Number(answer.headers.get('ratelimit-remaining'))).toBeWithin(0, ACCOUNT_BURST + 1)
  }
  expect(JSON.parse(refused[0]!.text)).toMatchObject({ code: 'request.tooMany', retryAfter: 1 })
  // Another address does not help, and others are not concerned. One may be let in, for a second is soon over.
  const elsewhere = () => ask('GET', '/v1/users/@me', { token: tokens.maxim, address: '10.0.0.2' })
  const there = await Promise.all(Array.from({ length: ACCOUNT_BURST }, elsewhere))
  expect(there.filter(({ status }) => status === 429).length).toBeGreaterThan(1)
  expect((await ask('GET', '/v1/users/@me', { token: tokens.olga })).status).toBe(200)
  expect((await ask('GET', '/livez')).status).toBe(200)
  expect(await eventually(async () => (await mine()).status === 200)).toBe(true)
})

test('credentials are tried at a pace of their own, by address', async () => {
  const login = (address: string) => ask('POST', '/v1/auth/login', { body: {}, address })
  // At once: each second lets in one more.
  const answers = await Promise.all(Array.from({ length: CREDENTIALS_BURST + 10 }, () => login('10.0.1.1')))
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter((status) => status === 422).length).toBeGreaterThanOrEqual(CREDENTIALS_BURST)
  expect(new Set(statuses)).toEqual(new Set([422, 429]))
  expect((await login('10.0.1.2')).status).toBe(422)
})

test('wrong passwords make the next try wait, whatever address it comes from, and through whichever gateway', async () => {
  const login = (password: string, address: string, at: string) =>
    ask('POST', '/v1/auth/login', { body: { login: 'maxim', password }, address, at })
  const statuses: number[] = []
  for (let i = 0; i < 8; i += 1) statuses.push((await login('a wrong password', `10.0.2.${i}`, server.url)).status)
  expect(statuses[0]).toBe(401)
  const answer = await login(PASSWORD, '10.0.2.99', server.gateways.at(-1)!)
  expect(answer.status).toBe(429)
  expect(faultsOfAnswer(answer, 'POST')).toEqual([])
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
})
