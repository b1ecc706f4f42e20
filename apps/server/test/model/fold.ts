import { type EventData, MAX_EXCERPT, type Message } from '@conntext/contracts'

/** An event as a client gets it. */
// biome-ignore lint/suspicious/noExplicitAny: told apart by its name
export type Told = { t: string; seq: number; d: any }

/** What somebody holds of one stream: made of a fetch, or of nothing at its beginning, and of the events after that. */
export type Held = {
  messages: Map<string, Message>
  /** Who reacted, by `<message> <emoji>`, as far as events have told; complete where they have told it all. */
  reactors: Map<string, Set<string>>
}

export const nothingHeld = (): Held => ({ messages: new Map(), reactors: new Map() })

const key = (messageId: string, emoji: string) => `${messageId} ${emoji}`

/** What a client does with an event, as the documents say; `viewerId` is whose client it is. */
export function fold(held: Held, { t, d }: Told, viewerId: string): void {
  const { messages } = held
  if (t === 'message.created') messages.set(d.id, d)
  else if (t === 'message.edited') edit(held, d)
  else if (t === 'message.deleted') remove(held, d.id)
  else if (t === 'messages.expired') expire(held, d)
  else if (t === 'message.pinned') change(held, d.id, { pinnedAt: d.pinnedAt })
  else if (t === 'message.unpinned') change(held, d.id, { pinnedAt: null })
  else if (t === 'reaction.added' || t === 'reaction.removed') react(held, t, d, viewerId)
  else if (t === 'reaction.cleared') {
    change(held, d.messageId, { reactions: [], myReactions: [] })
    for (const known of [...held.reactors.keys()]) if (known.startsWith(d.messageId)) held.reactors.delete(known)
  }
}

function change({ messages }: Held, id: string, fields: Partial<Message>): void {
  const message = messages.get(id)
  if (message) messages.set(id, { ...message, ...fields })
}

function edit(held: Held, message: Message): void {
  const mine = held.messages.get(message.id)?.myReactions ?? []
  held.messages.set(message.id, { ...message, myReactions: mine })
  quote(held, message.id, { excerpt: [...message.content].slice(0, MAX_EXCERPT).join('') })
}

function remove(held: Held, id: string): void {
  held.messages.delete(id)
  quote(held, id, { excerpt: '', deleted: true })
  for (const known of [...held.reactors.keys()]) if (known.startsWith(id)) held.reactors.delete(known)
}

/** What is below a place is gone, but for what is pinned. */
function expire(held: Held, { before, kept }: EventData['messages.expired']): void {
  const isGone = (one: { id: string; seq: number }) => one.seq < before && !kept.includes(one.id)
  for (const message of [...held.messages.values()]) {
    if (message.replyPreview && isGone(message.replyPreview)) change(held, message.id, { replyPreview: null })
    if (isGone(message)) held.messages.delete(message.id)
  }
}

/** Replies show what they reply to as it is now. */
function quote(held: Held, id: string, fields: Partial<NonNullable<Message['replyPreview']>>): void {
  for (const one of held.messages.values()) {
    if (one.replyTo === id && one.replyPreview)
      change(held, one.id, { replyPreview: { ...one.replyPreview, ...fields } })
  }
}

function react(
  held: Held,
  type: 'reaction.added' | 'reaction.removed',
  { messageId, userId, emoji, count }: EventData['reaction.added'],
  viewerId: string,
): void {
  const isNew = type === 'reaction.added'
  const users = held.reactors.get(key(messageId, emoji)) ?? new Set()
  held.reactors.set(key(messageId, emoji), users)
  if (isNew) users.add(userId)
  else users.delete(userId)
  const message = held.messages.get(messageId)
  if (!message) return
  const others = message.reactions.filter((one) => one.emoji !== emoji)
  const counted = message.reactions.map((one) => (one.emoji === emoji ? { emoji, count } : one))
  const grown = others.length === counted.length ? [...counted, { emoji, count }] : counted
  const mine = (message.myReactions ?? []).filter((one) => one !== emoji || userId !== viewerId)
  const myReactions = isNew && userId === viewerId ? [...mine, emoji] : mine
  change(held, messageId, { reactions: count === 0 ? others : grown, myReactions })
}

/** In the form in which two can be compared: what the history and the list of pins answer. */
export function shown(held: Held) {
  const messages = [...held.messages.values()]
    .sort((a, b) => a.seq - b.seq)
    .map(({ myReactions = [], ...message }) => ({
      ...message,
      myReactions: message.reactions.map(({ emoji }) => emoji).filter((emoji) => myReactions.includes(emoji)),
    }))
  const later = (a: Message, b: Message) =>
    a.pinnedAt! === b.pinnedAt! ? (a.id < b.id ? 1 : -1) : a.pinnedAt! < b.pinnedAt! ? 1 : -1
  const pins = messages
    .filter((one) => one.pinnedAt !== null)
    .sort(later)
    .map(({ id }) => id)
  return { messages, pins }
}
