import PostalMime, { type Email } from 'postal-mime'
import type { RawMail } from './download.ts'
import { htmlToText } from './html.ts'

/** What of a mail becomes part of a conversation. */
export type Mail = {
  group: string
  /** Its Message-ID; null for one without. */
  id: string | null
  /** The Message-IDs that it answers, the nearest first. */
  answers: string[]
  author: { address: string; name: string }
  subject: string
  /** The mailing list that it came over. */
  list: string | null
  /** As its author dated it, else as it was received: milliseconds since 1970. */
  date: number
  text: string
}

/** Reads a mail. Its text is its plain part, or what its HTML says. */
export async function readMail({ group, bytes }: RawMail): Promise<Mail> {
  const { envelope, content } = withoutEnvelope(bytes)
  const mail = await PostalMime.parse(content)
  return {
    group,
    id: mail.messageId || null,
    answers: [mail.inReplyTo ?? '', ...(mail.references ?? '').split(/\s+/).reverse()].filter(Boolean),
    author: authorOf(mail),
    subject: (mail.subject ?? '').replace(/\s+/g, ' ').trim(),
    list: listOf(mail),
    date: [mail.date, receivedOf(mail), envelope].map((text) => Date.parse(text ?? '')).find(isPlausible) ?? 0,
    text: mail.text?.trim() ? mail.text : htmlToText(mail.html ?? ''),
  }
}

const FROM = 'From '

/** Takes off the first line of a mailbox's entry, which is no header: `From address date`. */
function withoutEnvelope(bytes: Uint8Array): { envelope: string | undefined; content: Uint8Array } {
  const end = bytes.indexOf(10)
  const line = new TextDecoder('latin1').decode(bytes.subarray(0, end))
  if (!line.startsWith(FROM)) return { envelope: undefined, content: bytes }
  return { envelope: line.replace(/^From \S+\s+/, ''), content: bytes.subarray(end + 1) }
}

function authorOf({ from, sender }: Email): Mail['author'] {
  const given = from ?? sender
  const [first] = given?.group ?? []
  const { address, name } = first ?? given ?? {}
  return { address: (address ?? '').toLowerCase(), name: name ?? '' }
}

const headerOf = (mail: Email, key: string): string | undefined => mail.headers.find((one) => one.key === key)?.value

/** `List-Id: Some words <name.host>`, or an older way of saying it. */
function listOf(mail: Email): string | null {
  const listId = headerOf(mail, 'list-id')
  if (listId) return /<([^<>]+)>\s*$/.exec(listId)?.[1] ?? listId.trim()
  return /\blist (\S+@[^\s;]+)/.exec(headerOf(mail, 'mailing-list') ?? '')?.[1] ?? null
}

const receivedOf = (mail: Email): string | undefined => headerOf(mail, 'received')?.split(';').at(-1)

// Spam is dated in whatever year puts it on top.
const isPlausible = (date: number): boolean => date > Date.UTC(1995, 0) && date < Date.UTC(2004, 0)
