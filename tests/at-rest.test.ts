import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually, type ServerProcess, type SmtpPeer, smtpPeer, startServerProcess } from '@conntext/testing'
import { Driver } from './at-rest/drive.ts'
import { formsOf, Searcher } from './at-rest/forms.ts'
import { startProvider } from './at-rest/provider.ts'
import { dumpClickHouse, dumpPostgres, filesBelow, type Table } from './at-rest/stores.ts'
import { conntext } from './command/conntext.ts'

/**
 * A server that made every kind of secret there is, stopped and opened: its tables, its files, and what it printed. Only
 * `secrets/` may say anything.
 */
const MINUTES = 120_000
const USERNAME = 'marker-of-the-test'
const EMAIL = 'marker@example.org'

let mails: SmtpPeer
let provider: ReturnType<typeof startProvider>
let server: ServerProcess
let driver: Driver
let tables: Table[]
let searcher: Searcher
let ownerId: string

async function mailedToken(subject: RegExp, send: () => Promise<unknown>): Promise<void> {
  await send()
  const mail = await eventually(() => mails.mails.find((one) => subject.test(one.headers.subject ?? '')), 20_000)
  driver.keep('mailed token', /#token=([\w-]+)/.exec(mail.text)![1]!)
}

/** What the operator's command prints is a secret like any other. */
async function resetByOperator(username: string): Promise<void> {
  const { code, out, err } = await conntext(server.data, 'users', 'reset-password', username)
  if (code !== 0) throw new Error(err)
  driver.keep('reset token', out)
}

async function makeSecrets(): Promise<void> {
  const owner = await driver.owner(provider.url.origin)
  const { token, password } = await driver.member(USERNAME, EMAIL, owner.inviteCode)
  ownerId = (await driver.call<{ id: string }>('GET', '/v1/users/@me', { token: owner.token })).id
  await mailedToken(/verif/i, () => driver.try('POST', '/v1/auth/email/request-verification', { token, body: {} }))
  const proven = await driver.secondFactor({ username: USERNAME, token, password })
  await driver.passkeys({ ...proven, password })
  await mailedToken(/new password/i, () =>
    driver.call('POST', '/v1/auth/password/request-reset', { body: { login: EMAIL } }),
  )
  await resetByOperator('olga')
  await eventually(async () => {
    const { items } = await driver.call<{ items: unknown[] }>('GET', '/v1/audit/events', { token: owner.token })
    return items.length > 10
  })
}

beforeAll(async () => {
  mails = await smtpPeer()
  provider = startProvider()
  server = await startServerProcess({
    CONNTEXT_LOG_LEVEL: 'debug',
    CONNTEXT_SMTP_URL: `smtp://127.0.0.1:${mails.port}`,
    CONNTEXT_MAIL_FROM: 'noreply@example.org',
  })
  driver = new Driver(server.url)
  await makeSecrets()
  await server.kill('SIGTERM')
  for (const name of ['master-key', 'postgres-password']) {
    driver.keep(name, (await readFile(join(server.data, 'secrets', name), 'utf8')).trim())
  }
  searcher = new Searcher([...driver.secrets].flatMap(([name, secret]) => formsOf(name, secret)))
  tables = [...(await dumpPostgres(server.data)), ...(await dumpClickHouse(server.data))]
}, MINUTES)

afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await provider?.stop(true)
  await mails?.[Symbol.asyncDispose]()
}, MINUTES)

test('every kind of secret has been made', () => {
  const kinds = new Set([...driver.secrets.keys()].map((name) => name.replace(/ \d+$/, '')))
  expect([...kinds].sort()).toEqual(
    [
      'API token',
      'MFA token',
      'OIDC cookie',
      'OIDC nonce',
      'OIDC state',
      'TOTP secret',
      'access token',
      'ceremony token',
      'challenge',
      'client secret',
      'idempotency key',
      'invite code',
      'mailed token',
      'master-key',
      'password',
      'postgres-password',
      'recovery code',
      'refresh token',
      'reset token',
      'setup code',
      'wrong password',
    ].sort(),
  )
})

describe('the search', () => {
  const secret = 'kZ3-x_Q9aaBcDeFgHiJk'
  const forms: [string, (bytes: Buffer) => Buffer | string][] = [
    ['as it is', (bytes) => bytes],
    ['hex', (bytes) => bytes.toString('hex')],
    ['base64', (bytes) => bytes.toString('base64')],
    ['decoded', () => Buffer.from(secret, 'base64url')],
    ['decoded, hex', () => Buffer.from(secret, 'base64url').toString('hex')],
    ['sha256', (bytes) => new Bun.CryptoHasher('sha256').update(bytes).digest()],
  ]
  for (const [form, code] of forms) {
    test(`finds a secret ${form}, wherever it stands`, () => {
      const hay = Buffer.concat([
        Buffer.alloc(1001, 'k'),
        Buffer.from(code(Buffer.from(secret)) as string),
        Buffer.from('Z'),
      ])
      expect(new Searcher(formsOf('it', secret)).find(hay)).toContain(`it (${form})`)
    })
  }

  test('finds what is there in clear in this very server: in rows, in events, in files, in the log', async () => {
    const marker = new Searcher(formsOf('name', USERNAME))
    expect(tables.filter(({ rows }) => marker.find(rows.join('\n')).length > 0).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['users', 'audit.events']),
    )
    const id = new Searcher([{ name: 'id', form: 'bytes', bytes: Buffer.from(ownerId.replaceAll('-', ''), 'hex') }])
    const files = await filesBelow(join(server.data, 'postgres'))
    const found = await Promise.all(files.map(async (file) => id.find(await readFile(file)).length > 0))
    expect(files.filter((_, i) => found[i]).map((file) => (file.includes('/pg_wal/') ? 'log' : 'heap'))).toEqual(
      expect.arrayContaining(['heap', 'log']),
    )
    expect(server.output()).toContain('postgres')
  })
})

test('no row of any table tells a secret', () => {
  const told = tables.flatMap(({ name, rows }) => searcher.find(rows.join('\n')).map((what) => `${name}: ${what}`))
  expect(told).toEqual([])
})

test('the tables that secrets are kept in are not empty', () => {
  const filled = tables.filter(({ rows }) => rows.length > 0).map(({ name }) => name)
  expect(filled).toEqual(
    expect.arrayContaining([
      'api_tokens',
      'audit.events',
      'auth_outbox',
      'credentials',
      'data_keys',
      'invites',
      'login_failures',
      'oidc_providers',
      'recovery_codes',
      'refresh_tokens',
      'sessions',
      'signing_keys',
      'system_data_keys',
      'system_idempotency_keys',
      'totp_secrets',
      'validation_tokens',
    ]),
  )
})

test(
  'no file of the server tells a secret, but those in secrets/',
  async () => {
    const told: string[] = []
    let bytes = 0
    for (const file of await filesBelow(server.data, ['secrets'])) {
      bytes += (await stat(file)).size
      for (const what of searcher.find(await readFile(file))) told.push(`${file.slice(server.data.length)}: ${what}`)
    }
    expect(told).toEqual([])
    expect(bytes).toBeGreaterThan(10_000_000)
  },
  MINUTES,
)

test('nothing that it printed tells a secret', () => {
  expect(searcher.find(server.output())).toEqual([])
})

test('secrets/ is for its owner alone', async () => {
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777
  expect(await modeOf(join(server.data, 'secrets'))).toBe(0o700)
  for (const file of await filesBelow(join(server.data, 'secrets'))) expect(await modeOf(file)).toBe(0o600)
})
