import { expect, test } from 'bun:test'
import { authOutbox } from '@conntext/db-server-details'
import { createSmtpMailer } from '@conntext/mailer'
import { eventually, smtpPeer } from '@conntext/testing'
import { and, eq, isNull } from 'drizzle-orm'
import { startAuth, testClock } from './stack.ts'

type Auth = Awaited<ReturnType<typeof startAuth>>

const smtp = (port: number) => createSmtpMailer({ url: `smtp://127.0.0.1:${port}`, from: 'noreply@example.org' })
const askReset = (auth: Auth, login: string) =>
  auth.request('POST', '/v1/auth/password/request-reset', { body: { login } })
const owed = (auth: Auth) =>
  auth.database.auth
    .select()
    .from(authOutbox)
    .where(and(eq(authOutbox.topic, 'mail'), isNull(authOutbox.deliveredAt)))

test('a mail is sent by SMTP, once', async () => {
  await using peer = await smtpPeer()
  await using auth = await startAuth({ mailer: smtp(peer.port) })
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  await askReset(auth, 'ann')
  await eventually(() => peer.mails.length === 2)
  await auth.delivered()
  expect(peer.mails.map(({ to, headers }) => [to, headers.subject])).toEqual([
    [['ann@example.org'], 'Verify your email address'],
    [['ann@example.org'], 'Set a new password'],
  ])
  const token = /#token=(\S+)/.exec(peer.mails[1]!.text)![1]!
  const body = { token, newPassword: 'another correct battery' }
  expect((await auth.request('POST', '/v1/auth/password/reset', { body })).status).toBe(204)
})

test('what is asked for while the mail server is away is sent when it is back, and nobody waits for it', async () => {
  await using peer = await smtpPeer()
  await peer.stop()
  await using auth = await startAuth({ mailer: smtp(peer.port) })
  expect((await auth.register({ username: 'ann', email: 'ann@example.org' })).status).toBe(201)
  expect((await askReset(auth, 'ann')).status).toBe(202)
  await eventually(async () => (await owed(auth)).length === 2)
  // The audit trail and the streams don't wait for it either.
  await eventually(() => auth.system.audit.some(({ action }) => action === 'user.passwordResetRequested'))
  await peer.start()
  await eventually(() => peer.mails.length === 2)
  await auth.delivered()
  expect(new Set(peer.mails.map(({ headers }) => headers['message-id'])).size).toBe(2)
})

test('a mail that the server puts off holds up no other, and is not sent twice', async () => {
  await using peer = await smtpPeer()
  await using auth = await startAuth({ mailer: smtp(peer.port) })
  peer.putOff('ann@example.org')
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  await auth.register({ username: 'bob', email: 'bob@example.org' })
  await eventually(() => peer.mails.length === 1)
  expect(peer.mails[0]!.to).toEqual(['bob@example.org'])
  peer.putOff(undefined)
  await auth.delivered()
  expect(peer.mails.map(({ to }) => to[0])).toEqual(['bob@example.org', 'ann@example.org'])
})

test('a mail whose token is over is not sent any more, nor one that is refused for good', async () => {
  const clock = testClock()
  await using peer = await smtpPeer()
  await peer.stop()
  await using auth = await startAuth({ clock, mailer: smtp(peer.port) })
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  await askReset(auth, 'ann')
  await eventually(async () => (await owed(auth)).length === 2)
  // The reset is over after half an hour, the verification after a day.
  clock.advance(30 * 60_000)
  await peer.start()
  await auth.delivered()
  expect(peer.mails.map(({ headers }) => headers.subject)).toEqual(['Verify your email address'])

  peer.answerRecipients(550)
  await askReset(auth, 'ann')
  await auth.delivered()
  expect(peer.mails).toHaveLength(1)
  const set = await auth.database.auth.select().from(authOutbox).where(eq(authOutbox.refusals, 1))
  expect(set).toHaveLength(0)
})

test('no name and no address adds a header or a recipient to a mail', async () => {
  await using peer = await smtpPeer()
  await using auth = await startAuth({ mailer: smtp(peer.port) })
  for (const email of [
    'ann@example.org\r\nBcc: eve@example.org',
    'ann@example.org\nSubject: x',
    'ann@example.org, eve@example.org',
    'ann@example.org>',
    '"x\r\nBcc: eve@example.org"@example.org',
    'ann\0@example.org',
  ]) {
    expect((await auth.register({ username: 'ann', email })).status).toBe(422)
  }
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  await askReset(auth, 'ann@example.org\r\nBcc: eve@example.org')
  await askReset(auth, 'ann')
  await eventually(() => peer.mails.length === 2)
  for (const { to, headers } of peer.mails) {
    expect(to).toEqual(['ann@example.org'])
    expect(Object.keys(headers)).not.toContain('bcc')
  }
})
