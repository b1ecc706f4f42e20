import { expect, test } from 'bun:test'
import { baseApp, loggedPath } from '../src/index.ts'
import { recordingLogger } from './support/app.ts'

const SECRET = 'kJ8sQ2-never_to_be_told'

const ID = '01890a5d-0000-7000-8000-000000000000'

test.each([
  [`/v1/webhooks/${ID}/${SECRET}`, `/v1/webhooks/${ID}/…`],
  [`/v1/webhooks/${ID}/${SECRET}/`, `/v1/webhooks/${ID}/…`],
  // Addresses of nothing, as they come about by mistake: what is in them is as good elsewhere.
  [`/v1/webhooks/${ID}//${SECRET}`, `/v1/webhooks/${ID}/…`],
  [`/v1/webhooks/${ID}/${SECRET}/github`, `/v1/webhooks/${ID}/…`],
  [`/v1/webhooks/${ID}%2F${SECRET}`, '/v1/webhooks/…'],
  [`/v1/webhooks/${SECRET}`, '/v1/webhooks/…'],
  [`/v1/webhooks//${ID}/${SECRET}`, `/v1/webhooks//${ID}/…`],
  [`//v1/webhooks/${ID}/${SECRET}`, `//v1/webhooks/${ID}/…`],
  [`/v1/webhooks/${ID}`, `/v1/webhooks/${ID}`],
  ['/v1/webhooks', '/v1/webhooks'],
  ['/v1/webhooks/', '/v1/webhooks/'],
  ['/v1/invites/Zx81-abc/preview', '/v1/invites/…/preview'],
  ['/v1/invites/Zx81-abc/redeem', '/v1/invites/…/redeem'],
  ['/v1/invites/Zx81-abc', '/v1/invites/…'],
  [`/v1/invites/${ID}`, `/v1/invites/${ID}`],
  ['/v1/invites', '/v1/invites'],
  [`/v1/channels/${ID}/messages`, `/v1/channels/${ID}/messages`],
])('%s is logged as %s', (path, expected) => {
  expect(loggedPath(path)).toBe(expected)
})

test('a request that fails is logged without the secret in its address', async () => {
  const { log, lines } = recordingLogger()
  const app = baseApp({ log }).post('/v1/webhooks/:webhookId/:secret', () => {
    throw new Error('our fault')
  })
  const answer = await app.handle(new Request(`http://localhost/v1/webhooks/${ID}/${SECRET}`, { method: 'POST' }))
  expect(answer.status).toBe(500)
  expect(lines).toHaveLength(1)
  expect(lines.join()).not.toContain(SECRET)
  expect(lines.join()).toContain(`/v1/webhooks/${ID}/…`)
})
