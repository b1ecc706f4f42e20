import type { Bus, Unsubscribe } from '@conntext/bus'
import { type Conversation, type ConversationNews, Id, type MessagingPort, subjects } from '@conntext/contracts'
import { Expiring } from '@conntext/http'
import { AppError, type Clock } from '@conntext/kernel'

export type ConversationsDeps = {
  messaging: Pick<MessagingPort, 'conversation' | 'assertAccepted'>
  bus: Bus
  clock: Clock
}

// The bus says at once when somebody comes or goes; this bound is for the day on which it loses a message.
const MAX_AGE_MS = 10_000
const KEPT = 10_000

const AN_ID = new RegExp(Id.pattern!)

/** Direct messages and groups, as far as calls in them are concerned: messaging knows who takes part. */
export class Conversations {
  readonly #known: Expiring<Conversation | null>
  readonly #ends: Unsubscribe[] = []

  constructor(private readonly deps: ConversationsDeps) {
    this.#known = new Expiring(
      async (channelId) => (await deps.messaging.conversation({ channelId }))?.conversation ?? null,
      { maxAgeMs: MAX_AGE_MS, maxEntries: KEPT, clock: deps.clock },
    )
  }

  /** `changed`: who takes part in one, or whether they take what the other says; undefined: in any. */
  async start(changed: (id: string | undefined) => void): Promise<void> {
    const { bus } = this.deps
    this.#ends.push(
      await bus.subscribe(subjects.conversations, (payload) => {
        const { id } = (JSON.parse(payload) as ConversationNews).conversation
        this.#known.delete(id)
        changed(id)
      }),
      bus.onGap(() => {
        this.#known.clear()
        changed(undefined)
      }),
    )
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ends.splice(0).map((end) => end()))
  }

  /** Null where there is none. @throws dependency.away (503) */
  async find(id: string): Promise<Conversation | null> {
    return AN_ID.test(id) ? this.#known.get(id) : null
  }

  async isParticipant(id: string, userId: string): Promise<boolean> {
    return isIn(await this.find(id), userId)
  }

  /**
   * Of two people who share a conversation, neither may have blocked the other.
   * @throws conversation.notAccepted (403), conversation.blocked (409), dependency.away (503)
   */
  async assertAccepted(id: string, userId: string): Promise<void> {
    if ((await this.find(id))?.kind !== 'oneToOne') return
    await this.deps.messaging.assertAccepted({ userId, channelId: id })
  }

  /** Whether `assertAccepted` has nothing against it. @throws dependency.away (503) */
  async accepts(id: string, userId: string): Promise<boolean> {
    try {
      await this.assertAccepted(id, userId)
      return true
    } catch (error) {
      if (error instanceof AppError && error.status < 500) return false
      throw error
    }
  }
}

const isIn = (conversation: Conversation | null, userId: string): boolean =>
  conversation?.participants.some((one) => one.userId === userId) ?? false
