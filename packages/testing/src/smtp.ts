import { once } from 'node:events'
import { freePort } from '@conntext/embedded'
import { SMTPServer } from 'smtp-server'

/** A mail as it arrived: the envelope's addresses, headers by lower-case name, and the decoded text. */
export type ReceivedMail = { from: string; to: string[]; headers: Record<string, string>; text: string }

type Login = { user: string; password: string }

/** A mail server that keeps what it is given. After a `stop` it can `start` again on the same port. */
export async function smtpPeer(login?: Login) {
  const mails: ReceivedMail[] = []
  let recipients = 250
  let late: string | undefined
  // It is stopped and comes back: meanwhile no outgoing connection may take it.
  const port = await freePort()
  let server: SMTPServer | undefined

  const peer = {
    mails,
    port,
    /** The status that it answers to every recipient: 250 takes them. */
    answerRecipients(status: number) {
      recipients = status
    },
    /** Answers 451 to this one recipient. */
    putOff(address: string | undefined) {
      late = address
    },
    async start() {
      server = makeServer(mails, (address) => (address === late ? 451 : recipients), login)
      const listening = server.listen(port, '127.0.0.1')
      if (!listening.listening) await once(listening, 'listening')
    },
    async stop() {
      const { promise, resolve } = Promise.withResolvers<void>()
      if (server) server.close(() => resolve())
      else resolve()
      server = undefined
      await promise
    },
    [Symbol.asyncDispose]: () => peer.stop(),
  }
  await peer.start()
  return peer
}

export type SmtpPeer = Awaited<ReturnType<typeof smtpPeer>>

function makeServer(
  mails: ReceivedMail[],
  answerTo: (address: string) => number,
  login: Login | undefined,
): SMTPServer {
  return new SMTPServer({
    disabledCommands: login ? ['STARTTLS'] : ['STARTTLS', 'AUTH'],
    allowInsecureAuth: true,
    logger: false,
    onAuth({ username, password }, _session, done) {
      const right = username === login?.user && password === login?.password
      done(right ? null : new Error('wrong'), right ? { user: username } : undefined)
    },
    onRcptTo({ address }, _session, done) {
      const responseCode = answerTo(address)
      done(responseCode === 250 ? null : Object.assign(new Error('not taken'), { responseCode }))
    },
    onData(stream, session, done) {
      const { mailFrom, rcptTo } = session.envelope
      const envelope = { from: mailFrom ? mailFrom.address : '', to: rcptTo.map(({ address }) => address) }
      new Response(stream as unknown as ReadableStream)
        .text()
        .then((raw) => mails.push({ ...envelope, ...parse(raw) }))
        .then(() => done(), done)
    },
  })
}

function parse(raw: string): Pick<ReceivedMail, 'headers' | 'text'> {
  const [head = '', ...rest] = raw.split('\r\n\r\n')
  const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const body = rest.join('\r\n\r\n')
  return { headers, text: headers['content-transfer-encoding'] === 'quoted-printable' ? unquote(body) : body }
}

const unquote = (body: string): string => {
  const bytes = body
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}
