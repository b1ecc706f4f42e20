import type { Identity } from '@conntext/http'
import type { Visibility } from '../access/view.ts'
import type { Connection } from './connection.ts'

function add<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const found = index.get(key)
  if (found) found.add(value)
  else index.set(key, new Set([value]))
}

function remove<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const found = index.get(key)
  if (found?.delete(value) && found.size === 0) index.delete(key)
}

export const SERVER_TOPIC = 's'
/** Presences, apart from the server's events: they have no order with them, and are followed from `ready` on. */
export const PRESENCE_TOPIC = 'p'
export const conversationTopic = (id: string): string => `c${id}`
export const userTopic = (userId: string): string => `u${userId}`

/** All connections, found by account, by session and by what they follow. */
export class Connections {
  readonly all = new Set<Connection>()
  /** Those that have had their `ready` and don't follow their streams live yet. */
  readonly catchingUp = new Set<Connection>()
  readonly #byUser = new Map<string, Set<Connection>>()
  readonly #bySession = new Map<string, Set<Connection>>()
  readonly #byConversation = new Map<string, Set<Connection>>()
  /** How many connections follow a topic, under the name that they subscribe to. */
  readonly #followers = new Map<string, number>()

  ofUser(userId: string): Connection[] {
    return [...(this.#byUser.get(userId) ?? [])]
  }

  ofSession(sessionId: string): Connection[] {
    return [...(this.#bySession.get(sessionId) ?? [])]
  }

  /** Those that have had their `ready`. */
  *ready(): Generator<Connection> {
    for (const connection of this.all) if (connection.open && connection.visibility) yield connection
  }

  identified(connection: Connection, identity: Identity): void {
    connection.identity = identity
    add(this.#byUser, identity.userId, connection)
    add(this.#bySession, identity.sessionId, connection)
  }

  ofConversation(id: string): Connection[] {
    return [...(this.#byConversation.get(id) ?? [])]
  }

  followers(topic: string): number {
    return this.#followers.get(topic) ?? 0
  }

  /** Counts the connection to what it sees, and to what everybody has, from now on. */
  see(connection: Connection, visibility: Visibility): void {
    const userId = connection.identity!.userId
    if (!connection.visibility) this.#count(connection, [SERVER_TOPIC, PRESENCE_TOPIC, userTopic(userId)], 1)
    else this.#count(connection, connection.visibility.topics, -1)
    connection.visibility = visibility
    this.#count(connection, visibility.topics, 1)
  }

  /** It goes on from these positions until it `follows`. */
  catchUp(connection: Connection, positions: Map<string, number>): void {
    connection.positions = positions
    this.catchingUp.add(connection)
  }

  follows(connection: Connection): void {
    connection.positions = undefined
    this.catchingUp.delete(connection)
  }

  joinConversation(connection: Connection, id: string): void {
    if (connection.conversations.has(id)) return
    connection.conversations.add(id)
    add(this.#byConversation, id, connection)
    this.#count(connection, [conversationTopic(id)], 1)
  }

  leaveConversation(connection: Connection, id: string): void {
    if (!connection.conversations.delete(id)) return
    remove(this.#byConversation, id, connection)
    this.#count(connection, [conversationTopic(id)], -1)
  }

  gone(connection: Connection): void {
    connection.open = false
    this.all.delete(connection)
    this.catchingUp.delete(connection)
    const { identity, visibility } = connection
    if (!identity) return
    remove(this.#byUser, identity.userId, connection)
    remove(this.#bySession, identity.sessionId, connection)
    for (const id of [...connection.conversations]) this.leaveConversation(connection, id)
    if (visibility) {
      this.#count(connection, [SERVER_TOPIC, PRESENCE_TOPIC, userTopic(identity.userId), ...visibility.topics], -1)
      connection.visibility = undefined
    }
  }

  #count(connection: Connection, topics: string[], by: number): void {
    for (const name of topics) {
      const topic = connection.topic(name)
      const count = this.followers(topic) + by
      if (count > 0) this.#followers.set(topic, count)
      else this.#followers.delete(topic)
    }
  }
}
