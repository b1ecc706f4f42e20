/** One mail to one address. `id` (of letters, digits and `-`) stays the same however often the mail is sent. */
export type Mail = { id: string; to: string; subject: string; text: string }

/** Gets mail on its way. */
export type Mailer = {
  /** Resolves when somebody else answers for the mail. @throws MailRefused, MailDeferred, or anything else where no mail can be sent for the moment */
  send(mail: Mail): Promise<void>
  /** Whether mail can be sent, without one; absent where there is nothing to try. Throws when it can't. */
  check?(): Promise<void>
}

/** The mail cannot be delivered, and no repeat will change that. Names neither the address nor the text. */
export class MailRefused extends Error {
  override name = 'MailRefused'
}

/** The mail server doesn't take this mail now; it may take others. */
export class MailDeferred extends Error {
  override name = 'MailDeferred'
}

// A line break in a header begins the next header.
const CONTROL = /\p{Cc}/u

/** @throws MailRefused for an address or a subject that could be taken for more than that */
export function assertOneLine({ to, subject }: Mail): void {
  if (CONTROL.test(to) || CONTROL.test(subject)) {
    throw new MailRefused('the address or the subject holds a control character')
  }
}
