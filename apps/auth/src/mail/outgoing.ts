import { authOutbox, type ServerDetails } from '@conntext/db-server-details'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { type Mail, MailDeferred, type Mailer, MailRefused } from '@conntext/mailer'
import { type Deliver, enqueue } from '@conntext/outbox'
import type { Transaction } from '../transaction.ts'
import type { Purpose, ValidationTokens } from '../validation/tokens.ts'

// What says nothing any more is not sent any more.
const NOTICE_MS = 24 * 60 * 60_000

/** A mail to be; one with a token is sent only as long as that is good for anything. */
export type NewMail = Pick<Mail, 'to' | 'subject' | 'text'> & { token?: { purpose: Purpose; token: string } }

type SealedMail = { dataKeyId: string; mail: string; endsAt: string }

const context = (id: string) => `mail:${id}`

type Dependencies = {
  db: ServerDetails
  mailer: Mailer
  keyring: Keyring
  validation: ValidationTokens
  clock: Clock
  log: Logger
}

/** Mail leaves through the outbox: written with what it tells of, sealed, and sent once the mail server takes it. */
export function createOutgoingMail({ db, mailer, keyring, validation, clock, log }: Dependencies) {
  // Of a batch of which one mail has to wait, the others are not sent again with it.
  const sent = new Set<string>()

  const isOver = async (token: NewMail['token'], endsAt: string): Promise<boolean> =>
    new Date(endsAt) <= clock.now() ||
    (token !== undefined && (await validation.find(db, token.purpose, token.token)) === undefined)

  const send = async (id: string, { dataKeyId, mail, endsAt }: SealedMail): Promise<void> => {
    const opened = await keyring.open({ dataKeyId, sealed: Buffer.from(mail, 'base64') }, context(id))
    const { token, ...written } = JSON.parse(opened.toString()) as NewMail
    if (await isOver(token, endsAt)) return log.info({ id }, 'a mail was not sent in time and is dropped')
    try {
      await mailer.send({ id, ...written })
    } catch (error) {
      if (!(error instanceof MailRefused)) throw error
      log.warn({ err: error, id }, 'a mail was refused for good and is dropped')
    }
  }

  const deliver: Deliver = async (batch) => {
    let deferred: MailDeferred | undefined
    for (const { id, payload } of batch) {
      if (sent.has(id)) continue
      try {
        await send(id, payload as SealedMail)
        sent.add(id)
      } catch (error) {
        if (!(error instanceof MailDeferred)) throw error
        deferred = error
      }
    }
    if (deferred) throw deferred
    for (const { id } of batch) sent.delete(id)
  }

  return {
    /** For the outbox relay: the topic `mail`. */
    deliver,

    async owe(tx: Transaction, mail: NewMail): Promise<void> {
      const id = newId()
      const { dataKeyId, sealed } = keyring.seal(JSON.stringify(mail), context(id))
      const endsAt = new Date(clock.now().getTime() + NOTICE_MS).toISOString()
      const payload: SealedMail = { dataKeyId, mail: Buffer.from(sealed).toString('base64'), endsAt }
      await enqueue(tx, authOutbox, [{ id, topic: 'mail', payload }])
    },
  }
}

export type OutgoingMail = ReturnType<typeof createOutgoingMail>
