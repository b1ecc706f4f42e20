import type { Mail } from './mail.ts'

/** Somebody who wrote mails: a member to be. */
export type Author = { username: string; displayName: string | null }

/** A message to be. `replyTo` is the place in the channel's list of the message that it answers. */
export type Planned = { author: Author; content: string; replyTo: number | null }

/** A channel to be, with its messages in the order of their mails' dates. */
export type PlannedChannel = { name: string; messages: Planned[] }

export type Plan = {
  authors: Author[]
  channels: PlannedChannel[]
  /** What had to be done to mails that are no message as they are. */
  changes: { cut: number; withoutNul: number; wellFormed: number; empty: number; unanswerable: number }
}

type Limits = {
  /** Code points that a message may have. */
  length: number
  /** How many subjects become channels of their own, of those that several mails are about. */
  subjects: number
}

/**
 * Makes conversations of mails. The subjects that most was written about are channels of their own; the other mails are
 * together in a channel for each mailing list, and those of none in one for each group of the corpus.
 */
export function planConversations(mails: Mail[], limits: Limits): Plan {
  const changes = { cut: 0, withoutNul: 0, wellFormed: 0, empty: 0, unanswerable: 0 }
  const authors = new Authors()
  const channels = new Channels(busiestSubjects(mails, limits.subjects))
  // Where the message of a mail stands.
  const places = new Map<string, { channel: PlannedChannel; place: number }>()
  for (const mail of mails.toSorted((a, b) => a.date - b.date)) {
    const written = storable(textOf(mail, channels.isAbout(mail)), changes)
    const pieces = cut(written, limits.length)
    if (pieces.length === 0) {
      changes.empty += 1
      continue
    }
    if (pieces.length > 1) changes.cut += 1
    const channel = channels.of(mail)
    const parent = mail.answers.flatMap((id) => places.get(id) ?? [])[0]
    const isHere = parent?.channel === channel
    if (parent && !isHere) changes.unanswerable += 1
    const place = channel.messages.length
    if (mail.id && !places.has(mail.id)) places.set(mail.id, { channel, place })
    pieces.forEach((content, i) => {
      // The rest of a mail answers what comes before it.
      const replyTo = i > 0 ? place + i - 1 : isHere ? parent.place : null
      channel.messages.push({ author: authors.of(mail), content, replyTo })
    })
  }
  return { authors: authors.all, channels: channels.all, changes }
}

const MARKS = /^(?:\s*(?:(?:re|fwd?|fw|aw|sv|antwort)(?:\[\d+\]|\^\d+)?\s*:|\[[^\]]*\]))+\s*/i

/** A subject without the marks of answers, of forwarding and of lists. */
export const bareSubject = (subject: string): string => subject.replace(MARKS, '').trim()

const topicOf = (mail: Mail): string => bareSubject(mail.subject).toLowerCase()

function busiestSubjects(mails: Mail[], most: number): Set<string> {
  const counts = new Map<string, number>()
  for (const mail of mails) counts.set(topicOf(mail), (counts.get(topicOf(mail)) ?? 0) + 1)
  counts.delete('')
  const several = [...counts].filter(([, count]) => count >= 3).sort((a, b) => b[1] - a[1])
  return new Set(several.slice(0, most).map(([topic]) => topic))
}

/** Where the channel doesn't say what a mail is about, the mail does. */
const textOf = (mail: Mail, isAboutChannel: boolean): string => {
  const text = mail.text.replace(/\r\n?/g, '\n').trim()
  return (isAboutChannel && text !== '') || mail.subject === '' ? text : `${mail.subject}\n\n${text}`.trim()
}

/** The API refuses what isn't UTF-8 and what Postgres can't hold. */
function storable(text: string, changes: Plan['changes']): string {
  const wellFormed = text.toWellFormed()
  if (wellFormed !== text) changes.wellFormed += 1
  const withoutNul = wellFormed.replaceAll('\0', '')
  if (withoutNul !== wellFormed) changes.withoutNul += 1
  return withoutNul.trim()
}

/** Cuts a text into pieces of at most so many code points: between lines where there are any in its last third. */
function cut(text: string, most: number): string[] {
  const pieces: string[] = []
  let rest = [...text]
  while (rest.length > most) {
    const line = rest.lastIndexOf('\n', most)
    const end = line > (most * 2) / 3 ? line : most
    pieces.push(rest.slice(0, end).join(''))
    rest = rest.slice(end)
  }
  return [...pieces, rest.join('')].filter((piece) => piece !== '')
}

const LONGEST_CHANNEL_NAME = 100

class Channels {
  readonly #byKey = new Map<string, PlannedChannel>()
  readonly #taken = new Set<string>()

  constructor(private readonly subjects: Set<string>) {}

  get all(): PlannedChannel[] {
    return [...this.#byKey.values()]
  }

  /** Whether the mail's subject is its channel. */
  isAbout(mail: Mail): boolean {
    return this.subjects.has(topicOf(mail))
  }

  of(mail: Mail): PlannedChannel {
    const isOwn = this.isAbout(mail)
    const key = isOwn ? `subject ${topicOf(mail)}` : `list ${mail.list ?? mail.group}`
    const known = this.#byKey.get(key)
    if (known) return known
    const name = isOwn ? bareSubject(mail.subject) : (mail.list ?? `mails: ${mail.group}`)
    const channel: PlannedChannel = { name: this.#free(name), messages: [] }
    this.#byKey.set(key, channel)
    return channel
  }

  /** The name as a channel may have it, with a number where it is taken. */
  #free(wanted: string): string {
    const clean = wanted
      .replace(/\p{C}/gu, '')
      .slice(0, LONGEST_CHANNEL_NAME - 4)
      .toWellFormed()
      .trim()
    for (let n = 1; ; n += 1) {
      const name = n === 1 ? clean || 'untitled' : `${clean} ${n}`
      if (this.#taken.has(name.toLowerCase())) continue
      this.#taken.add(name.toLowerCase())
      return name
    }
  }
}

const LONGEST_USERNAME = 32
const LONGEST_DISPLAY_NAME = 64

/** One author for each address. */
class Authors {
  readonly #byAddress = new Map<string, Author>()

  get all(): Author[] {
    return [...this.#byAddress.values()]
  }

  of({ author: { address, name } }: Mail): Author {
    const known = this.#byAddress.get(address)
    if (known) {
      known.displayName ??= toDisplayName(name)
      return known
    }
    const author = { username: toUsername(address), displayName: toDisplayName(name) }
    this.#byAddress.set(address, author)
    return author
  }
}

/** The part of the address before the @, as far as a user name may have its characters. Others may have the same. */
function toUsername(address: string): string {
  const local = address
    .split('@')[0]!
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
  const name = local.slice(0, LONGEST_USERNAME)
  return name.length < 2 ? `${name}author` : name
}

function toDisplayName(name: string): string | null {
  const clean = name
    .toWellFormed()
    .replace(/[\p{C}\p{Zl}\p{Zp}\u2800]/gu, '')
    .normalize('NFC')
  const short = [...clean.replace(/\s+/g, ' ').trim()].slice(0, LONGEST_DISPLAY_NAME).join('').trim()
  return /[^\p{Z}\p{M}]/u.test(short) ? short : null
}
