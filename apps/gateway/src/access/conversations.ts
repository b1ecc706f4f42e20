import type { Bus, Unsubscribe } from '@conntext/bus'
import {
  type Conversation,
  type ConversationNews,
  channelStream,
  conversationChange,
  ephemeralFrame,
  type Grant,
  type MessagingPort,
  streamChannel,
  subjects,
  userStream,
} from '@conntext/contracts'
import type { Clock, Logger } from '@conntext/kernel'
import type { Connection } from '../sockets/connection.ts'
import { type Connections, conversationTopic } from '../sockets/connections.ts'
import type { StreamHub } from '../streams/hub.ts'
import type { VoiceStates } from '../voice/states.ts'
import type { Access } from './access.ts'

const RETRY_MS = [50, 100, 250, 500, 1_000]
// News may come again, late: of so many conversations it is remembered what was the last.
const VERSIONS_KEPT = 50_000
const RECHECKED_AT_ONCE = 20

export type ConversationsOptions = {
  messaging: Pick<MessagingPort, 'conversationsOf' | 'conversation'>
  bus: Bus
  hub: () => StreamHub
  voice: () => VoiceStates
  access: Access
  connections: Connections
  clock: Clock
  log: Logger
}

/** The conversations of one account: all by id, with their versions, and the newest of its list in full. */
export type Participation = { versions: Map<string, number>; newest: Conversation[] }

/** What came to be known while something was being fetched. */
type Watch = Map<string, ConversationNews>

export type Watched = { participation: Participation; update(): boolean; isStale(): boolean; end(): void }

export const nothing = (): Participation => ({ versions: new Map(), newest: [] })

/**
 * Who takes part in which conversation, as far as they are connected here. Whoever is added follows from the moment at
 * which that is heard. Whoever is removed is cut off by the event that says so, in the stream itself: nothing that was
 * said after it reaches them, in whatever order the bus brings its news.
 */
export class Conversations {
  readonly #versions = new Map<string, number>()
  readonly #watches = new Set<Watch>()
  readonly #ends: Unsubscribe[] = []
  #gaps = 0
  #stopped = false

  constructor(private readonly options: ConversationsOptions) {}

  async start(): Promise<void> {
    const { bus } = this.options
    this.#ends.push(
      await bus.subscribe(subjects.conversations, (payload) => this.#hear(JSON.parse(payload) as ConversationNews)),
      bus.onGap(() => {
        this.#gaps += 1
        void this.#recheck()
      }),
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#ends.splice(0).map((end) => end()))
  }

  /** The topic of a conversation that somebody here takes part in. */
  topicOf(id: string): string | undefined {
    return this.options.connections.ofConversation(id).length > 0 ? conversationTopic(id) : undefined
  }

  /**
   * What an account takes part in. What changes from now on is added to it by each call of `update`, which answers
   * whether there was anything; but after an interruption of the bus it `isStale`. `end` it when it is no longer looked at.
   */
  async watch(userId: string): Promise<Watched> {
    const heard: Watch = new Map()
    const gaps = this.#gaps
    this.#watches.add(heard)
    try {
      const participation = await this.#fetch(userId)
      const update = () => {
        const news = [...heard.values()]
        heard.clear()
        return news.map((one) => updateWith(participation, userId, one)).includes(true)
      }
      update()
      const isStale = () => gaps !== this.#gaps
      return { participation, update, isStale, end: () => void this.#watches.delete(heard) }
    } catch (error) {
      this.#watches.delete(heard)
      throw error
    }
  }

  /** Looks into an event before it is delivered: whoever it takes out of the conversation doesn't get it. */
  beforeDelivery(stream: string, frame: string): void {
    const change = conversationChange(frame)
    if (!change || streamChannel(stream) !== change.id) return
    const { id, participantIds, version } = change
    if (this.#isOld(id, version)) return
    this.#remember(id, version)
    const present = new Set(participantIds)
    this.#removeOthers(id, present)
    // The news itself may have been lost.
    const isMissing = (userId: string) => this.#joining(id, [userId]).length > 0
    if (participantIds.some(isMissing)) void this.#verify(id)
  }

  /** The stream could not be followed without a gap: who came or went in it is asked. */
  afterReset(stream: string): void {
    const id = streamChannel(stream)
    if (id !== undefined && this.topicOf(id) !== undefined) void this.#verify(id)
  }

  #hear(news: ConversationNews): void {
    const { conversation, version } = news
    const { id } = conversation
    if (this.#isOld(id, version)) return
    this.#remember(id, version)
    for (const watch of this.#watches) watch.set(id, news)
    const userIds = conversation.participants.map((one) => one.userId)
    this.#removeOthers(id, new Set(userIds))
    if (this.#joining(id, userIds).length > 0) void this.#admit(news)
  }

  #isOld(id: string, version: number): boolean {
    return version < (this.#versions.get(id) ?? 0)
  }

  #remember(id: string, version: number): void {
    this.#versions.delete(id)
    this.#versions.set(id, version)
    if (this.#versions.size <= VERSIONS_KEPT) return
    this.#versions.delete(this.#versions.keys().next().value!)
  }

  /** Nothing here waits: no event can come in between. */
  #removeOthers(id: string, present: ReadonlySet<string>): void {
    const { connections, clock } = this.options
    for (const connection of connections.ofConversation(id)) {
      const { userId } = connection.identity!
      if (present.has(userId)) continue
      connections.leaveConversation(connection, id)
      if (connection.positions) connection.positions.delete(channelStream(id))
      else connection.socket.unsubscribe(connection.topic(conversationTopic(id)))
      const at = clock.now().toISOString()
      connection.send(ephemeralFrame(userStream(userId), 'conversation.removed', at, JSON.stringify({ id })))
    }
  }

  /** Connections of these people that see conversations, and don't follow this one. */
  #joining(id: string, userIds: string[]): Connection[] {
    const { connections, access } = this.options
    return userIds
      .flatMap((userId) => connections.ofUser(userId))
      .filter((one) => one.open && one.visibility && !one.conversations.has(id) && mayTakePart(access, one.grant!))
  }

  async #admit(news: ConversationNews): Promise<void> {
    const { conversation, version } = news
    const stream = channelStream(conversation.id)
    // Nobody has been in it before: what has been said in it already is news to all of them.
    const brandNew = version === 0 ? new Set([stream]) : undefined
    await this.#untilDone('a conversation could not be followed yet', async () => {
      await this.options.hub().open([stream], brandNew)
      await this.options.access.settled()
      return !this.options.access.gate.closed && this.options.hub().get(stream) !== undefined
    })
    if (this.#stopped || this.#versions.get(conversation.id) !== version) return
    const userIds = conversation.participants.map((one) => one.userId)
    for (const connection of this.#joining(conversation.id, userIds)) this.#join(connection, news)
  }

  #join(connection: Connection, { conversation, version }: ConversationNews): void {
    const { connections, hub, clock } = this.options
    const stream = channelStream(conversation.id)
    const { head, ring } = hub().get(stream)!
    const missed = version === 0 ? ring.after(0) : undefined
    const from = missed ? 0 : head
    connections.joinConversation(connection, conversation.id)
    const data = JSON.stringify({ ...conversation, lastSeq: from } satisfies Conversation)
    const at = clock.now().toISOString()
    connection.send(ephemeralFrame(userStream(connection.identity!.userId), 'conversation.created', at, data))
    this.options.voice().gained(connection, (id) => id === conversation.id)
    if (connection.positions) {
      connection.positions.set(stream, from)
      return
    }
    for (const { frame } of missed ?? []) connection.send(frame)
    connection.socket.subscribe(connection.topic(conversationTopic(conversation.id)))
  }

  /** Asks who takes part in it now. */
  async #verify(id: string): Promise<void> {
    await this.#untilDone('it could not be found out who takes part in a conversation', async () => {
      const found = await this.options.messaging.conversation({ channelId: id })
      if (found) this.#hear(found)
      else this.#removeOthers(id, new Set())
      return true
    })
  }

  /** The bus may have kept silent about changes: looks again at everybody who is here. */
  async #recheck(): Promise<void> {
    const userIds = new Set<string>()
    for (const { identity } of this.options.connections.ready()) if (identity) userIds.add(identity.userId)
    const waiting = [...userIds]
    while (waiting.length > 0 && !this.#stopped) {
      await Promise.all(waiting.splice(0, RECHECKED_AT_ONCE).map((userId) => this.#recheckUser(userId)))
    }
  }

  async #recheckUser(userId: string): Promise<void> {
    await this.#untilDone('somebody’s conversations could not be looked at again', async () => {
      const watched = await this.watch(userId)
      watched.end()
      const { versions } = watched.participation
      const followed = new Set(this.options.connections.ofUser(userId).flatMap((one) => [...one.conversations]))
      for (const id of [...followed, ...versions.keys()]) {
        const lacks = this.#joining(id, [userId]).length > 0
        if (versions.has(id) ? lacks : followed.has(id)) await this.#verify(id)
      }
      return true
    })
  }

  async #untilDone(failure: string, attempt: () => Promise<boolean>): Promise<void> {
    for (let failures = 0; !this.#stopped; ) {
      try {
        if (await attempt()) return
      } catch (error) {
        this.options.log.warn({ err: error }, failure)
        await Bun.sleep(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!)
        failures += 1
      }
    }
  }

  async #fetch(userId: string): Promise<Participation> {
    const participation = nothing()
    for (let after: string | null | undefined; after !== null; ) {
      const page = await this.options.messaging.conversationsOf({ userId, ...(after === undefined ? {} : { after }) })
      for (const { id, version } of page.memberships) participation.versions.set(id, version)
      participation.newest.push(...page.newest)
      after = page.next
    }
    return participation
  }
}

/** Whether a connection with this grant gets to see the conversations of its account. */
export const mayTakePart = ({ view }: Pick<Access, 'view'>, grant: Grant): boolean =>
  view.authority.allowsParticipant(grant, 'channel.view')

/** Answers whether that changed anything. */
function updateWith(
  { versions, newest }: Participation,
  userId: string,
  { conversation, version }: ConversationNews,
): boolean {
  const { id, participants } = conversation
  if (version < (versions.get(id) ?? 0)) return false
  const index = newest.findIndex((one) => one.id === id)
  if (participants.some((one) => one.userId === userId)) {
    versions.set(id, version)
    if (index === -1) newest.unshift(conversation)
    else newest[index] = conversation
    return true
  }
  if (index !== -1) newest.splice(index, 1)
  return versions.delete(id)
}
