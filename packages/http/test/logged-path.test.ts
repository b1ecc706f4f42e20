import { expect, test } from 'bun:test'
import { baseApp, loggedPath } from '../src/index.ts'
import { recordingLogger } from './support/app.ts'

const SECRET = 'kJ8sQ2-never_to_be_told'

test.each([
  [`/v1/webhooks/01890a5d/${SECRET}`, '/v1/webhooks/01890a5d/…'],
  [`/v1/webhooks/01890a5d/${SECRET}/`, '/v1/webhooks/01890a5d/…/'],
  ['/v1/webhooks/01890a5d', '/v1/webhooks/01890a5d'],
  ['/v1/webhooks', '/v1/webhooks'],
  ['/v1/channels/01890a5d/messages', '/v1/channels/01890a5d/messages'],
])('%s is logged as %s', (path, expected) => {
  expect(loggedPath(path)).toBe(expected)
})

test('a request that fails is logged without the secret in its address', async () => {
  const { log, lines } = recordingLogger()
  const app = baseApp({ log }).post('/v1/webhooks/:webhookId/:secret', () => {
    throw new Error('our fault')
  })
  const answer = await app.handle(new Request(`http://localhost/v1/webhooks/01890a5d/${SECRET}`, { method: 'POST' }))
  expect(answer.status).toBe(500)
  expect(lines).toHaveLength(1)
  expect(lines.join()).not.toContain(SECRET)
  expect(lines.join()).toContain('/v1/webhooks/01890a5d/…')
})
