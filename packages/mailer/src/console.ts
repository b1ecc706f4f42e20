import { assertOneLine, type Mailer } from './mailer.ts'

/** For a server without SMTP: mail is shown to its operator, who passes it on. */
export function createConsoleMailer(write: (text: string) => void): Mailer {
  return {
    async send(mail) {
      assertOneLine(mail)
      const lines = mail.text.trimEnd().split('\n')
      write([`mail to ${mail.to}: ${mail.subject}`, ...lines.map((line) => `  ${line}`)].join('\n'))
    },
  }
}
