import { expect, test } from 'bun:test'
import { createLogger, loggable, loggableText, withContext } from '../src/index.ts'

const JWT = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTg5In0.c2lnbmF0dXJl'

test.each([
  'password',
  'newPassword',
  'passphrase',
  'token',
  'refresh_token',
  'mfaToken',
  'tokens',
  'clientSecret',
  'authorization',
  'Cookie',
  'set-cookie',
  'credential',
  'content',
  'inviteCode',
  'setupCode',
  'recoveryCodes',
  'totp',
  'masterKey',
  'apiKey',
])('what is named %s is censored, however deep it stands', (name) => {
  const found = loggable({ [name]: 'hunter2', a: { b: [{ c: { [name]: ['hunter2'] } }] } })
  expect(JSON.stringify(found)).not.toContain('hunter2')
})

test.each(['code', 'contentType', 'tokenId', 'status', 'path', 'keyId', 'decoder'])(
  'what is named %s is told',
  (name) => {
    expect(loggable({ [name]: 'visible' })).toEqual({ [name]: 'visible' })
  },
)

test.each([
  [`the token ${JWT} is bad`, JWT],
  ['Authorization: Bearer abcdefghijkl', 'abcdefghijkl'],
  ['postgres://someone:hunter2@db:5432/x refused', 'hunter2'],
  ['smtps://bob:hun%20ter@mail', 'hun%20ter'],
  [`conntext_${'a'.repeat(49)}`, 'aaaaaaaa'],
  ['POST /v1/webhooks/01890a5d-0000-7000-8000-000000000000/kJ8sQ2-secret failed', 'kJ8sQ2'],
  ['GET /v1/invites/Zx81-abc/preview', 'Zx81'],
])('%p is told without its secret', (text, secret) => {
  expect(loggableText(text)).not.toContain(secret)
  expect(loggableText(text)).toContain('[redacted]')
})

test('what is too long, too deep, too many or its own part is bounded', () => {
  const circular: Record<string, unknown> = { text: 'x'.repeat(100_000) }
  circular.self = circular
  circular.many = Array.from({ length: 10_000 }, (_, index) => index)
  circular.bytes = new Uint8Array(100_000)
  expect(JSON.stringify(loggable(circular)).length).toBeLessThan(50_000)
})

test('a line says to which request and trace it belongs, and the message is censored too', () => {
  const lines: string[] = []
  const log = createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  withContext({ requestId: 'r-1', traceparent }, () => log.info({}, `said ${JWT}`))
  withContext({ requestId: 'r-1' }, () => log.info({ requestId: 'r-2' }, 'said'))
  log.info({}, 'said')
  const [first, second, third] = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(first).toMatchObject({ requestId: 'r-1', traceId: '0af7651916cd43dd8448eb211c80319c', msg: 'said [redacted]' })
  expect(second).toMatchObject({ requestId: 'r-2' })
  expect(third).not.toHaveProperty('requestId')
})
