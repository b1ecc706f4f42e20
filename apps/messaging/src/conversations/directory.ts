import type { Bus, Unsubscribe } from '@conntext/bus'
import { type ConversationNews, Id, subjects } from '@conntext/contracts'
import { type Communications, messagingOutbox } from '@conntext/db-communications'
import { Expiring } from '@conntext/http'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import { enqueue } from '@conntext/outbox'
import type { Transaction } from '../streams/writer.ts'
import { findParticipantIds } from './queries.ts'

/** The outbox topic for news of conversations: should the bus be away, they are published when it is back. */
export const CONVERSATION_NEWS = 'conversationNews'

// The bus says at once when somebody comes or goes; this bound is for the day on which it loses a message.
const MAX_AGE_MS = 5_000
const KEPT = 20_000

const AN_ID = new RegExp(Id.pattern!)
const NOBODY: ReadonlySet<string> = new Set()

export type DirectoryDeps = { db: Communications; bus: Bus; clock: Clock; log: Logger }

/** Who takes part in which conversation, answered from memory; and the one who tells when that changes. */
export class Directory {
  readonly #participants: Expiring<ReadonlySet<string>>
  readonly #ends: Unsubscribe[] = []

  constructor(private readonly deps: DirectoryDeps) {
    this.#participants = new Expiring(async (id) => (await findParticipantIds(deps.db, [id])).get(id) ?? NOBODY, {
      maxAgeMs: MAX_AGE_MS,
      maxEntries: KEPT,
      clock: deps.clock,
    })
  }

  async start(): Promise<void> {
    const { bus } = this.deps
    this.#ends.push(
      await bus.subscribe(subjects.conversations, (payload) => {
        this.#participants.delete((JSON.parse(payload) as ConversationNews).conversation.id)
      }),
      bus.onGap(() => this.#participants.clear()),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ends.splice(0).map((end) => end()))
  }

  /** What can't be an id, as addresses may have it, is no conversation. */
  async isParticipant(conversationId: string, userId: string): Promise<boolean> {
    if (!AN_ID.test(conversationId)) return false
    return (await this.#participants.get(conversationId)).has(userId)
  }

  /** Owes the news, in the transaction of what they tell of. */
  async owe(tx: Transaction, news: ConversationNews): Promise<void> {
    await enqueue(tx, messagingOutbox, [{ id: newId(), topic: CONVERSATION_NEWS, payload: news }])
  }

  /** Tells everybody, after the commit and before the answer. The outbox tells once more, in case nobody heard. */
  async announce(news: ConversationNews): Promise<void> {
    this.#participants.delete(news.conversation.id)
    await this.publish(news).catch((error) =>
      this.deps.log.warn({ err: error }, 'news of a conversation could not be published; the outbox will'),
    )
  }

  async publish(news: ConversationNews): Promise<void> {
    await this.deps.bus.announce(subjects.conversations, JSON.stringify(news))
  }
}
