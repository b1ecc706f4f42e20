import { createTransport } from 'nodemailer'
import { assertOneLine, MailDeferred, type Mailer, MailRefused } from './mailer.ts'

const TIMEOUTS = { connectionTimeout: 10_000, greetingTimeout: 10_000, dnsTimeout: 10_000, socketTimeout: 20_000 }

type SmtpError = { code?: string; responseCode?: number }

// What an answer to RCPT TO or DATA means (RFC 5321, 4.2.1). 421 is the server's goodbye, and a wrong password the
// operator's to mend: neither is about the mail.
function meaning(error: unknown): unknown {
  const { code, responseCode = 0 } = error as SmtpError
  if (code !== 'EENVELOPE' && code !== 'EMESSAGE') return error
  if (responseCode >= 500 && responseCode !== 503)
    return new MailRefused('the mail server refuses it', { cause: error })
  const isDeferred = responseCode >= 400 && responseCode < 500 && responseCode !== 421
  return isDeferred ? new MailDeferred('the mail server puts it off', { cause: error }) : error
}

export type SmtpMailer = Mailer & {
  /** Whether the mail server lets us in, without a mail. Throws when it doesn't. */
  check(): Promise<void>
}

/**
 * Sends by SMTP, each mail on a connection of its own.
 * @param url `smtp://` (STARTTLS where the server offers it) or `smtps://`, with user and password where it takes them
 * @param from an address, or `Name <address>`
 */
export function createSmtpMailer({ url, from }: { url: string; from: string }): SmtpMailer {
  const transport = createTransport({ url, disableFileAccess: true, disableUrlAccess: true, ...TIMEOUTS })
  return {
    async check() {
      await transport.verify()
    },

    async send(mail) {
      assertOneLine(mail)
      const { id, to, subject, text } = mail
      try {
        await transport.sendMail({
          from,
          // As an object: a text would be read as a list of addresses.
          to: { name: '', address: to },
          subject,
          text,
          messageId: `<${id}@conntext>`,
          // Holiday notices and the like are not wanted (RFC 3834).
          headers: { 'Auto-Submitted': 'auto-generated' },
        })
      } catch (error) {
        throw meaning(error)
      }
    },
  }
}
