import { expect, test } from 'bun:test'
import { type SmtpPeer, smtpPeer } from '@conntext/testing'
import { createConsoleMailer, createSmtpMailer, MailDeferred, MailRefused } from '../src/index.ts'

const mail = { id: 'some-id', to: 'ann@example.org', subject: 'Hello', text: 'Line one\nLine two: ü\n' }
const mailerTo = (peer: SmtpPeer, userinfo = '') =>
  createSmtpMailer({ url: `smtp://${userinfo}127.0.0.1:${peer.port}`, from: 'ConnText <noreply@example.org>' })

test('a mail arrives as it was sent', async () => {
  await using peer = await smtpPeer()
  await mailerTo(peer).send(mail)
  const [got] = peer.mails
  expect(got).toMatchObject({ from: 'noreply@example.org', to: ['ann@example.org'] })
  expect(got!.text).toContain('Line two: ü')
  expect(got!.headers).toMatchObject({
    subject: 'Hello',
    from: 'ConnText <noreply@example.org>',
    to: 'ann@example.org',
    'message-id': '<some-id@conntext>',
    'auto-submitted': 'auto-generated',
  })
})

test('no address and no subject makes a second header or a second recipient', async () => {
  await using peer = await smtpPeer()
  const mailer = mailerTo(peer)
  for (const forged of [
    { to: 'ann@example.org\r\nBcc: eve@example.org' },
    { to: 'ann@example.org\nRCPT TO:<eve@example.org>' },
    { to: 'ann@example.org\0' },
    { subject: 'Hello\r\nBcc: eve@example.org' },
    { subject: 'Hello\n\nanother text' },
  ]) {
    await expect(mailer.send({ ...mail, ...forged })).rejects.toThrow(MailRefused)
  }
  expect(peer.mails).toHaveLength(0)
  // One address, whatever it looks like: at most it is refused.
  for (const to of ['ann@example.org, eve@example.org', 'ann@example.org> <eve@example.org', 'x: ann@e.org;']) {
    await mailer.send({ ...mail, to }).catch(() => {})
  }
  for (const { to } of peer.mails) expect(to).not.toContain('eve@example.org')
})

test('a mail that is refused for good is told apart from one that is put off, and from a server that is away', async () => {
  await using peer = await smtpPeer()
  const mailer = mailerTo(peer)
  peer.answerRecipients(550)
  await expect(mailer.send(mail)).rejects.toThrow(MailRefused)
  peer.answerRecipients(451)
  await expect(mailer.send(mail)).rejects.toThrow(MailDeferred)
  peer.answerRecipients(250)
  await mailer.send(mail)
  await peer.stop()
  await expect(mailer.send(mail)).rejects.toMatchObject({ code: 'ESOCKET' })
})

test('a wrong password of the mail server is no refusal of the mail', async () => {
  await using peer = await smtpPeer({ user: 'conntext', password: 'right' })
  await expect(mailerTo(peer, 'conntext:wrong@').send(mail)).rejects.toMatchObject({ code: 'EAUTH' })
  await mailerTo(peer, 'conntext:right@').send(mail)
  expect(peer.mails).toHaveLength(1)
})

test('without SMTP the operator reads it', async () => {
  const written: string[] = []
  const mailer = createConsoleMailer((text) => written.push(text))
  await mailer.send(mail)
  expect(written).toEqual(['mail to ann@example.org: Hello\n  Line one\n  Line two: ü'])
  await expect(mailer.send({ ...mail, to: 'a@b.example\nmail to eve@example.org: x' })).rejects.toThrow(MailRefused)
})
