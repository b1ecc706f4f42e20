import { createTransport } from 'nodemailer'
import { assertOneLine, type Mailer, MailRefused } from './mailer.ts'

const TIMEOUTS = { connectionTimeout: 10_000, greetingTimeout: 10_000, dnsTimeout: 10_000, socketTimeout: 20_000 }

// What an answer to RCPT TO or DATA means for good (RFC 5321, 4.2.1); a wrong password is the operator's to mend.
const isForGood = ({ code, responseCode = 0 }: { code?: string; responseCode?: number }): boolean =>
  (code === 'EENVELOPE' || code === 'EMESSAGE') && responseCode >= 500 && responseCode !== 503

/**
 * Sends by SMTP, each mail on a connection of its own.
 * @param url `smtp://` (STARTTLS where the server offers it) or `smtps://`, with user and password where it takes them
 * @param from an address, or `Name <address>`
 */
export function createSmtpMailer({ url, from }: { url: string; from: string }): Mailer {
  const transport = createTransport({ url, disableFileAccess: true, disableUrlAccess: true, ...TIMEOUTS })
  return {
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
        if (isForGood(error as object)) throw new MailRefused('the mail server refuses the mail', { cause: error })
        throw error
      }
    },
  }
}
