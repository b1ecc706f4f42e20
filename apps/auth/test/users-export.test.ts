import { expect, test } from 'bun:test'
import { type ExportedCall, type ExportedMessage, type Media, type Problem, UserExport } from '@conntext/contracts'
import { passkeys, recoveryCodes } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import { Value } from '@sinclair/typebox/value'
import { PASSWORD, startAuth } from './stack.ts'

const PATH = '/v1/users/@me/export'

test('a copy of one’s account holds all that is kept of it, no secret, and nothing of others', async () => {
  await using auth = await startAuth()
  const owner = await auth.owner()
  const { body: ann } = await auth.register({ username: 'ann', email: 'ann@example.org' }, { address: '192.0.2.9' })
  await auth.member('bob')
  const role = await auth.role(owner, 'Bot makers', ['bot.manage'])
  await auth.give(owner, ann.user.id, [role.id])
  const { accessToken: token } = ann
  const { body: bot } = await auth.request<{ id: string }>('POST', '/v1/bots', { token, body: { username: 'helper' } })
  const body = { name: 'a tool', scopes: ['channel.view'], password: PASSWORD }
  const { body: apiToken } = await auth.request<{ id: string; token: string }>('POST', '/v1/auth/tokens', {
    token,
    body,
  })
  const bytes = new TextEncoder().encode('never to be told')
  const passkey = { credentialId: bytes, publicKey: bytes, counter: 0, transports: [], backedUp: false }
  const db = auth.database.auth
  const key = { id: newId(), userId: ann.user.id, deviceType: 'singleDevice', name: 'a key', ...passkey } as const
  await db.insert(passkeys).values(key)
  await db.insert(recoveryCodes).values({ userId: ann.user.id, hash: bytes })
  const blocked = newId()
  auth.blocks.set(ann.user.id, [blocked])

  const { status, body: copy, headers, text } = await auth.request<UserExport>('GET', PATH, { token })
  expect(status).toBe(200)
  expect(headers.get('content-disposition')).toBe('attachment; filename="conntext-account.json"')
  expect(headers.get('cache-control')).toBe('no-store')
  expect(copy).toMatchObject({
    account: { id: ann.user.id, username: 'ann', email: 'ann@example.org', nickname: null, emailVerifiedAt: null },
    roles: [{ id: role.id, name: 'Bot makers' }],
    authenticatorApp: null,
    recoveryCodesLeft: 1,
    identities: [],
    apiTokens: [{ id: apiToken.id, userId: ann.user.id, name: 'a tool', scopes: ['channel.view'] }],
    bots: [{ id: bot.id, username: 'helper' }],
    dmsFrom: 'everyone',
    blocks: [blocked],
  })
  expect(copy.account.passwordChangedAt).toBeString()
  expect(copy.passkeys).toEqual([{ id: key.id, name: 'a key', createdAt: expect.any(String), lastUsedAt: null }])
  expect(copy.sessions).toMatchObject([{ id: ann.session.id, current: true, address: '192.0.2.9' }])
  for (const secret of [ann.refreshToken, apiToken.token, '$argon2id', 'never to be told', 'bob', 'owner@']) {
    expect(text).not.toContain(secret)
  }
  expect(await auth.actions('user.exported')).toMatchObject([
    { actor: { id: ann.user.id }, target: { kind: 'user', id: ann.user.id }, data: {} },
  ])
})

test('a copy is for who is logged in: no token is a 401, an API token a 403', async () => {
  await using auth = await startAuth()
  const { accessToken: token } = await auth.member('ann')
  const body = { name: 'a tool', scopes: ['channel.view'], password: PASSWORD }
  const made = await auth.request<{ token: string }>('POST', '/v1/auth/tokens', { token, body })
  expect((await auth.request('GET', PATH)).status).toBe(401)
  const refused = await auth.request<Problem>('GET', PATH, { token: made.body.token })
  expect([refused.status, refused.body.code]).toEqual([403, 'access.notForTokens'])
  expect((await auth.request('GET', `${PATH}?userId=${newId()}`, { token })).status).toBe(422)
})

const message = (content: string): ExportedMessage => ({
  id: newId(),
  channelId: newId(),
  type: 'default',
  content,
  replyTo: null,
  mediaIds: [],
  createdAt: new Date().toISOString(),
  editedAt: null,
})

test('a copy tells what one has written and uploaded, page after page', async () => {
  await using auth = await startAuth()
  const { accessToken: token, user } = await auth.member('ann')
  const pages = [200, 1, 0, 3].map((count) => Array.from({ length: count }, (_, at) => message(`"word" ${at}\n🎉`)))
  const file: Media = {
    ...{
      id: newId(),
      ownerId: user.id,
      filename: 'a "file"',
      contentType: 'text/plain',
      size: 3,
      sha256: '0'.repeat(64),
    },
    ...{ state: 'ready', width: null, height: null, thumbnail: false, createdAt: new Date().toISOString() },
  }
  const call: ExportedCall = {
    ...{ callId: newId(), channelId: newId(), joinedAt: new Date().toISOString(), leftAt: null, ending: null },
    ...{ spoke: true, camera: false, screen: false },
  }
  auth.written.messages = pages
  auth.written.files = [[file]]
  auth.written.calls = [[call], [call]]
  const { body, headers } = await auth.request<UserExport>('GET', PATH, { token })
  expect(headers.get('content-type')).toBe('application/json')
  expect(body.messages).toEqual(pages.flat())
  expect(body.files).toEqual([file])
  expect(body.calls).toEqual([call, call])
  expect([...Value.Errors(UserExport, body)].filter(({ message }) => !message.includes('Unknown format'))).toEqual([])
  auth.written.messages = []
  auth.written.files = []
  auth.written.calls = []
  expect((await auth.request<UserExport>('GET', PATH, { token })).body).toMatchObject({
    messages: [],
    files: [],
    calls: [],
  })
})

test('a copy is not begun where messages are not to be had, and breaks off where they are no longer', async () => {
  await using auth = await startAuth()
  const { accessToken: token } = await auth.member('ann')
  auth.written.away = true
  expect((await auth.request<Problem>('GET', PATH, { token })).status).toBe(503)
  expect(await auth.actions('user.exported')).toEqual([])
  auth.written.away = false
  auth.written.messages = Array.from({ length: 5 }, () => [message('a word')])
  const request = new Request(`http://localhost${PATH}`, { headers: { authorization: `Bearer ${token}` } })
  const answer = await auth.service.app.handle(request)
  const reader = answer.body!.getReader()
  await reader.read()
  auth.written.away = true
  const rest = async () => {
    while (!(await reader.read()).done);
  }
  expect(rest()).rejects.toThrow('away')
})
