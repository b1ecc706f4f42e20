import { type Authority, channelStream, type Grant, type Mentions, type Message } from '@conntext/contracts'
import { isDatabaseAway } from '@conntext/database'
import type { Guard } from '@conntext/http'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import { riftRefusal } from '../contacts/acceptance.ts'
import { findRifts, type Rift } from '../contacts/queries.ts'
import { findParticipantIds, touchConversations } from '../conversations/queries.ts'
import { type MediaRow, toMedia } from '../media/shape.ts'
import type { Transaction, WriteStreams } from '../streams/writer.ts'
import { webhookErrors } from '../webhooks/errors.ts'
import { findWebhooks, type WebhookRow } from '../webhooks/queries.ts'
import { isStillThere, mayStillCall, type Signed } from '../webhooks/signed.ts'
import type { Outcome } from './batcher.ts'
import { createMessages } from './creation.ts'
import { messageErrors } from './errors.ts'
import { lossOf } from './loss.ts'
import { present } from './present.ts'
import { findReplied, type Replied } from './replies.ts'
import { findByNonces, holdMedia } from './send-queries.ts'
import { type MessageRow, newMessage } from './shape.ts'
import { SlowMode } from './slow-mode.ts'

/** A message on its way: checked, but for what only the database knows. */
export type Outgoing = {
  channelId: string
  authorId: string
  content: string
  nonce: string | null
  replyTo: string | null
  mediaIds: string[]
  mentions: Mentions
  /** How long its author waits between two messages; 0 for not at all. */
  slowModeSeconds: number
  /** Of a webhook's message, whose author is the webhook. */
  webhook: Signed | null
}

export type CommitDeps = { write: WriteStreams; guard: Guard; clock: Clock; log: Logger }

type Found = {
  now: Date
  authority: Authority
  grants: Map<string, Grant | null>
  sent: Map<string, Outcome<Message>>
  replied: Map<string, Replied>
  /** Who takes part, for what is a conversation. */
  participants: Map<string, ReadonlySet<string>>
  /** Where one of two people has blocked the other. */
  rifts: Rift[]
  webhooks: Map<string, WebhookRow>
  media: Map<string, MediaRow>
  slowMode: SlowMode
}

/**
 * Stores a batch of messages in one transaction and answers each one's outcome. When the batch fails as a whole for a
 * reason that isn't the database's absence, its members are stored one by one: a fault of one is nobody else's.
 */
export async function commitMessages(deps: CommitDeps, batch: Outgoing[]): Promise<Outcome<Message>[]> {
  try {
    return await commit(deps, batch)
  } catch (error) {
    if (batch.length === 1 || isDatabaseAway(error)) throw error
    deps.log.warn({ messages: batch.length, err: error }, 'a batch of messages failed; storing them singly')
  }
  const outcomes: Outcome<Message>[] = []
  for (const one of batch) outcomes.push(...(await commit(deps, [one]).catch((error: unknown) => [{ error }])))
  return outcomes
}

async function commit(deps: CommitDeps, batch: Outgoing[]): Promise<Outcome<Message>[]> {
  return deps.write(
    batch.map((one) => channelStream(one.channelId)),
    async (tx, heads) => {
      const now = deps.clock.now()
      // Looked at under the streams' locks: whoever held them before may have emptied a deleted channel, or deleted what
      // somebody who is banned had written; and what is taken from somebody is taken when that is answered.
      const [authority, grants] = await Promise.all([deps.guard.authority(), grantsOf(deps.guard, batch)])
      const conversationIds = batch.map((one) => one.channelId).filter((id) => !authority.hasChannel(id))
      const [participants, rifts] = await Promise.all([
        findParticipantIds(tx, [...new Set(conversationIds)]),
        findRifts(tx, [...new Set(conversationIds)]),
      ])
      const found = { now, authority, grants, participants, rifts, ...(await lookUp(tx, batch, now)) }
      const at = now.toISOString()
      const { outcomes, accepted } = decide(batch, found, heads, at)
      const active = accepted.map((message) => message.channelId).filter((id) => participants.has(id))
      const [events] = await Promise.all([
        createMessages(tx, accepted, at),
        found.slowMode.record(tx),
        touchConversations(tx, [...new Set(active)], at),
      ])
      return { answer: outcomes, events }
    },
  )
}

async function grantsOf(guard: Guard, batch: Outgoing[]): Promise<Found['grants']> {
  const authors = [...new Set(batch.flatMap((one) => (one.webhook ? [] : [one.authorId])))]
  const grants = await Promise.all(authors.map((id) => guard.grant(id)))
  return new Map(authors.map((id, index) => [id, grants[index] ?? null]))
}

async function lookUp(
  tx: Transaction,
  batch: Outgoing[],
  now: Date,
): Promise<Omit<Found, 'now' | 'authority' | 'grants' | 'participants' | 'rifts'>> {
  const unique = (ids: (string | null)[]) => [...new Set(ids.filter((id) => id !== null))]
  const [rows, replied, media, webhooks, slowMode] = await Promise.all([
    findByNonces(
      tx,
      batch.flatMap(({ authorId, channelId, nonce }) => (nonce === null ? [] : { authorId, channelId, nonce })),
    ),
    findReplied(tx, unique(batch.map((one) => one.replyTo))),
    holdMedia(tx, unique(batch.flatMap((one) => one.mediaIds))),
    findWebhooks(tx, unique(batch.map((one) => (one.webhook ? one.authorId : null)))),
    SlowMode.of(tx, batch, now),
  ])
  return { sent: await earlier(tx, rows), replied, media, webhooks, slowMode }
}

/** What a repeat is answered: what the first send did, as it is now. */
async function earlier(tx: Transaction, rows: MessageRow[]): Promise<Map<string, Outcome<Message>>> {
  if (rows.length === 0) return new Map()
  const sent = await present(tx, rows)
  const outcome = (row: MessageRow, index: number): Outcome<Message> =>
    row.deletedAt ? { error: messageErrors.deleted() } : { value: sent[index]! }
  return new Map(rows.map((row, index) => [nonceKey(row.authorId, row.channelId, row.nonce!), outcome(row, index)]))
}

// Ids are of one length, so the parts can't run into each other.
const nonceKey = (authorId: string, channelId: string, nonce: string) => authorId + channelId + nonce

function decide(batch: Outgoing[], found: Found, heads: Map<string, number>, at: string) {
  const accepted: Message[] = []
  const outcomes = batch.map((one): Outcome<Message> => {
    const key = one.nonce === null ? undefined : nonceKey(one.authorId, one.channelId, one.nonce)
    const known = key === undefined ? undefined : found.sent.get(key)
    if (known) return known
    const error = refusal(one, found)
    if (error) return { error }
    const stream = channelStream(one.channelId)
    const seq = (heads.get(stream) ?? 0) + 1
    heads.set(stream, seq)
    const media = one.mediaIds.map((id) => toMedia(found.media.get(id)!))
    const replyPreview = found.replied.get(one.replyTo ?? '')?.preview ?? null
    const { channelId, authorId, content, nonce, replyTo } = one
    const mentions = one.webhook ? mayStillCall(found.webhooks.get(authorId)!, one.mentions) : one.mentions
    const told = { channelId, authorId, content, nonce, replyTo, replyPreview, mentions, media }
    const value = newMessage({ ...told, ...signature(one), id: newId(), seq, createdAt: at })
    accepted.push(value)
    if (key !== undefined) found.sent.set(key, { value })
    return { value }
  })
  return { outcomes, accepted }
}

const signature = ({ authorId: id, webhook }: Outgoing): Partial<Message> =>
  webhook ? { type: 'webhook', webhook: { id, name: webhook.name, avatarId: webhook.avatarId } } : {}

function refusal(one: Outgoing, found: Found) {
  if (!one.webhook) return refusalOfMember(one, found)
  const { authority, webhooks } = found
  const isThere = isStillThere(webhooks.get(one.authorId), one.channelId, one.webhook)
  return isThere && authority.hasChannel(one.channelId) ? undefined : webhookErrors.notFound()
}

function refusalOfMember(one: Outgoing, found: Found) {
  const { authority, replied, rifts, media, slowMode, now } = found
  const takesPart = found.participants.get(one.channelId)?.has(one.authorId) ?? false
  const standing = { authority, grant: found.grants.get(one.authorId), takesPart, now }
  const lost = lossOf(standing, 'message.send', one.channelId)
  if (lost) return lost
  const unwanted = riftRefusal(rifts, one.channelId, one.authorId)
  if (unwanted) return unwanted
  if (one.replyTo !== null && !isThere(replied.get(one.replyTo), one.channelId)) return messageErrors.replyNotFound()
  const missing = one.mediaIds.some((id) => !isUsable(media.get(id), one.authorId))
  if (missing) return messageErrors.mediaNotFound()
  const waiting = one.mediaIds.some((id) => media.get(id)?.state === 'processing')
  if (waiting) return messageErrors.mediaProcessing({ retryAfter: 1 })
  // Last, for what is refused otherwise costs nobody their turn.
  const wait = slowMode.take(one)
  return wait > 0 ? messageErrors.slowMode({ retryAfter: wait }) : undefined
}

const isUsable = (file: MediaRow | undefined, authorId: string): boolean =>
  file?.ownerId === authorId && file.state !== 'lost'

const isThere = (replied: Replied | undefined, channelId: string): boolean =>
  replied?.channelId === channelId && !replied.preview.deleted
