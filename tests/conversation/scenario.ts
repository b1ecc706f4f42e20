import {
  type AuditEvent,
  deleteMessage,
  editMessage,
  listAuditEvents,
  listMessages,
  type Media,
  type Message,
  type StreamEvent,
  unwrap,
} from '@conntext/sdk'
import { pseudoRandomFile, sha256 } from './corpus.ts'
import type { Person } from './people.ts'

const IN_FLIGHT = 16
const RANGE = 6_000_000

/** What doesn't hold, in words; thrown, so that a test and the demo can both use it. */
export function hold(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise)
}

/** Sends texts in turn, each person with several in flight; answers each message as it was acknowledged. */
export async function converse(people: Person[], channelId: string, texts: string[]): Promise<Message[]> {
  const acknowledged: Message[] = []
  const speak = async (person: Person, own: string[]) => {
    let next = 0
    const one = async () => {
      while (next < own.length) {
        const content = own[next++]!
        acknowledged.push(await person.gateway.send({ channelId, content }))
      }
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, one))
  }
  const share = (index: number) => texts.filter((_, i) => i % people.length === index)
  await Promise.all(people.map((person, index) => speak(person, share(index))))
  return acknowledged
}

/** The messages that reached somebody over the connection, in the order in which they came. */
export const received = (person: Person, channelId: string): StreamEvent<'message.created'>[] =>
  person.events.filter(
    (event): event is StreamEvent<'message.created'> =>
      event.t === 'message.created' && event.stream === `channel:${channelId}`,
  )

/** Each acknowledged message came exactly once, with the same bytes, and numbers rose by one without a gap. */
export function checkReceived(person: Person, channelId: string, acknowledged: Message[]): void {
  const stream = person.events.filter((event) => event.stream === `channel:${channelId}`)
  for (const [index, event] of stream.entries()) {
    const before = stream[index - 1]
    hold(
      before === undefined || event.seq === before.seq! + 1,
      `${person.name}: ${event.seq} came after ${before?.seq}`,
    )
  }
  const came = new Map(received(person, channelId).map((event) => [event.d.id, event.d]))
  hold(came.size === received(person, channelId).length, `${person.name} got a message twice`)
  for (const message of acknowledged) {
    const copy = came.get(message.id)
    hold(copy !== undefined, `${person.name} did not get message ${message.seq}`)
    hold(copy.content === message.content, `message ${message.seq} reached ${person.name} changed`)
  }
}

/** All of a channel's history, page by page. */
export async function wholeHistory(person: Person, channelId: string): Promise<Message[]> {
  const all: Message[] = []
  for (;;) {
    const after = String(all.at(-1)?.seq ?? 0)
    const query = { after, limit: '100' }
    const page = await unwrap(listMessages({ client: person.api.client, path: { channelId }, query }))
    all.push(...page.items)
    if (page.items.length < 100) return all
  }
}

/** History holds each acknowledged message once, byte for byte, in ascending order. */
export function checkHistory(history: Message[], acknowledged: Message[]): void {
  for (const [index, message] of history.entries()) {
    hold(index === 0 || message.seq > history[index - 1]!.seq, `history is out of order at ${message.seq}`)
  }
  const kept = new Map(history.map((message) => [message.id, message]))
  hold(kept.size === history.length, 'history holds a message twice')
  for (const message of acknowledged) {
    hold(
      kept.get(message.id)?.content === message.content,
      `history does not have message ${message.seq} as it was sent`,
    )
  }
}

/** Uploads a file in one request. The file travels as raw bytes, which generated clients don't do. */
export async function upload(person: Person, file: Uint8Array<ArrayBuffer>, name: string): Promise<Media> {
  const response = await fetch(`${person.api.baseUrl}/v1/uploads?filename=${encodeURIComponent(name)}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await person.api.accessToken()}`, 'content-type': 'application/octet-stream' },
    body: file,
  })
  hold(response.status === 201, `the upload was answered with ${response.status}`)
  return (await response.json()) as Media
}

/** Downloads a file in pieces by Range. */
export async function downloadInRanges(person: Person, media: Media): Promise<Uint8Array> {
  const file = new Uint8Array(media.size)
  for (let start = 0; start < media.size; start += RANGE) {
    const end = Math.min(start + RANGE, media.size) - 1
    const response = await fetch(`${person.api.baseUrl}/v1/media/${media.id}/content`, {
      headers: { authorization: `Bearer ${await person.api.accessToken()}`, range: `bytes=${start}-${end}` },
    })
    hold(response.status === 206, `a Range was answered with ${response.status}`)
    file.set(await response.bytes(), start)
  }
  return file
}

/** One person sends a file of `bytes` with a message, the other gets it by Ranges; the hashes are the same. */
export async function exchangeFile(from: Person, to: Person, channelId: string, bytes: number): Promise<Message> {
  const file = pseudoRandomFile(bytes)
  const media = await upload(from, file, 'Übergröße 你好.bin')
  const message = await from.gateway.send({ channelId, content: 'here it is', mediaIds: [media.id] })
  const hash = sha256(await downloadInRanges(to, message.media[0]!))
  hold(hash === sha256(file) && hash === media.sha256, 'the file came back changed')
  return message
}

/** Edits one's own message and has a moderator delete another: what follows a message. */
export async function editAndDelete(author: Person, moderator: Person, channelId: string): Promise<void> {
  const first = await author.gateway.send({ channelId, content: 'to be edited' })
  const second = await author.gateway.send({ channelId, content: 'to be deleted' })
  const edit = { path: { channelId, messageId: first.id }, body: { content: 'edited' } }
  const edited = await unwrap(editMessage({ client: author.api.client, ...edit }))
  hold(edited.content === 'edited' && edited.editedAt !== null, 'the edit did not hold')
  const path = { channelId, messageId: second.id }
  await deleteMessage({ client: moderator.api.client, path, throwOnError: true })
}

/** Every audit event that the filter finds. */
export async function auditTrail(person: Person, action: string): Promise<AuditEvent[]> {
  const { items } = await unwrap(listAuditEvents({ client: person.api.client, query: { action, limit: '100' } }))
  return items
}

/** What the whole scene must have left in the audit trail, and how often at the least. */
export const EXPECTED_TRAIL: Record<string, number> = {
  'system.started': 1,
  'server.claimed': 1,
  'user.registered': 2,
  'session.created': 2,
  'channel.created': 1,
  'invite.created': 1,
  'invite.redeemed': 1,
  'role.created': 1,
  'member.rolesChanged': 1,
  'media.uploaded': 1,
  'message.deletedByModerator': 1,
}
