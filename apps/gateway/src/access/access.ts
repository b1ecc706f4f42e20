import {
  Authority,
  type AuthorityChange,
  channelStream,
  closeCodes,
  type Grant,
  type MessagingPort,
} from '@conntext/contracts'
import { type Guard, memberRefusal } from '@conntext/http'
import { answerWithin, type Clock, type Logger } from '@conntext/kernel'
import type { Connection } from '../sockets/connection.ts'
import type { Connections } from '../sockets/connections.ts'
import type { StreamHub } from '../streams/hub.ts'
import type { VoiceStates } from '../voice/states.ts'
import { type Difference, difference, TopicNames, View, type Visibility } from './view.ts'

const RETRY_MS = [50, 100, 250, 500, 1_000]
// For so long a whole server waits for what one account may do; then that account's connections come back later.
const GRANT_TIMEOUT_MS = 2_000
const GRANTS_AT_ONCE = 50

export type AccessOptions = {
  guard: Guard
  hub: () => StreamHub
  voice: () => VoiceStates
  connections: Connections
  messaging: Pick<MessagingPort, 'readStates'>
  clock: Clock
  log: Logger
}

/** How far people have read, by channel: of those who alone gain something. */
type Marks = Map<string, Map<string, number>>

type Move = { connection: Connection; visibility: Visibility }

// Each connection is worth what it came with: two of one account may see different channels.
const within = ({ identity }: Connection, grant: Grant): Grant =>
  identity && identity.scopes !== null ? { ...grant, scopes: identity.scopes } : grant

const empty = () =>
  new View(
    new Authority({
      version: 0,
      ownerId: null,
      server: {
        name: '',
        description: null,
        iconId: null,
        registrationMode: 'closed',
        requireMfa: false,
        requireModerationReason: false,
        systemChannelId: null,
        messageRetentionDays: null,
        callRetentionDays: null,
        limits: { maxMessageLength: 1, maxFileBytes: 1, maxMediaPerMessage: 0 },
        maintenance: null,
        createdAt: new Date(0).toISOString(),
      },
      roles: [],
      channels: [],
      overrides: [],
    }),
    new TopicNames(),
  )

/**
 * Who sees what, at this moment. From the instant that something is said to have changed, no channel's event is
 * delivered until the new state has been fetched and every connection it concerns has been moved, all in one go:
 * whoever lost a channel gets nothing of it any more, and whoever keeps one misses nothing and gets nothing twice.
 */
export class Access {
  readonly gate = { closed: true }
  view: View = empty()
  #names = new TopicNames()
  #known = false
  #snapshotStale = true
  readonly #staleUsers = new Set<string>()
  #running = false
  #stopped = false
  #settled = Promise.withResolvers<void>()
  #endListening: (() => void) | undefined

  constructor(private readonly options: AccessOptions) {}

  start(): void {
    this.#endListening = this.options.guard.onChange((change) => this.changed(change))
    this.changed({})
  }

  stop(): void {
    this.#stopped = true
    this.#endListening?.()
    this.#settled.resolve()
  }

  /** Resolves when what is known is what holds. */
  settled(): Promise<void> {
    return this.gate.closed && !this.#stopped ? this.#settled.promise : Promise.resolve()
  }

  changed({ userId }: AuthorityChange): void {
    if (userId === undefined) this.#snapshotStale = true
    else {
      const connections = this.options.connections.ofUser(userId)
      if (connections.length === 0) return
      for (const connection of connections) connection.grantVersion += 1
      this.#staleUsers.add(userId)
    }
    this.#close()
    void this.#run()
  }

  /** Looks again at everything: messages of the bus may have been lost. */
  recheck(): void {
    const userIds = new Set<string>()
    for (const { identity } of this.options.connections.ready()) if (identity) userIds.add(identity.userId)
    this.#snapshotStale = true
    for (const userId of userIds) this.#staleUsers.add(userId)
    this.#close()
    void this.#run()
  }

  #close(): void {
    if (this.gate.closed) return
    this.gate.closed = true
    this.#settled = Promise.withResolvers()
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    for (let failures = 0; !this.#stopped && (this.#snapshotStale || this.#staleUsers.size > 0); ) {
      try {
        await this.#refresh()
        failures = 0
      } catch (error) {
        this.options.log.warn({ err: error }, 'who may see what is not known yet')
        this.#snapshotStale = true
        await Bun.sleep(RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!)
        failures += 1
      }
    }
    this.#running = false
    if (this.#stopped) return
    this.gate.closed = false
    this.#settled.resolve()
    this.options.hub().flush()
    this.options.voice().flush()
  }

  /** One round: fetch, then move everybody at once, unless something has changed again in between. */
  async #refresh(): Promise<void> {
    const { guard, hub } = this.options
    const refetch = this.#snapshotStale
    const userIds = [...this.#staleUsers].slice(0, GRANTS_AT_ONCE)
    this.#snapshotStale = false
    for (const userId of userIds) this.#staleUsers.delete(userId)
    const fetching = refetch ? guard.authority() : Promise.resolve(this.view.authority)
    fetching.catch(() => {})
    await this.#fetchGrants(userIds)
    const authority = await fetching
    if (this.#snapshotStale) return
    const view = authority === this.view.authority ? this.view : new View(authority, this.#names)
    const concerned = refetch ? [...this.options.connections.ready()] : this.#ofUsers(userIds)
    const moves = this.#plan(view, concerned)
    const streams = new Set(moves.flatMap(({ visibility }) => visibility).flatMap(({ streams }) => streams))
    const [marks] = await Promise.all([this.#fetchMarks(view, userIds), hub().open(streams, this.#brandNew(view))])
    if (this.#snapshotStale) return
    this.#apply(view, concerned, marks)
  }

  /**
   * How far those have read who gain something by what changed of themselves. What everybody gains is told to all in the
   * same bytes. Where it can't be had in time it is not told.
   */
  async #fetchMarks(view: View, userIds: string[]): Promise<Marks> {
    const marks: Marks = new Map()
    const gains = ({ visibility, grant }: Connection) =>
      (difference(visibility!, view.visibility(grant!))?.gained.length ?? 0) > 0
    const gaining = userIds.filter((userId) => this.#ofUsers([userId]).some(gains))
    await Promise.all(
      gaining.map(async (userId) => {
        try {
          const { states } = await answerWithin(GRANT_TIMEOUT_MS, () => this.options.messaging.readStates({ userId }))
          marks.set(userId, new Map(states.map(({ channelId, lastReadSeq }) => [channelId, lastReadSeq])))
        } catch (error) {
          this.options.log.warn({ err: error, userId }, 'how far an account has read could not be fetched')
        }
      }),
    )
    return marks
  }

  #ofUsers(userIds: string[]): Connection[] {
    return userIds.flatMap((id) => this.options.connections.ofUser(id)).filter((one) => one.open && one.visibility)
  }

  async #fetchGrants(userIds: string[]): Promise<void> {
    await Promise.all(
      userIds.map(async (userId) => {
        const before = this.options.connections.ofUser(userId).map((one) => [one, one.grantVersion] as const)
        const grant = await this.#fetchGrant(userId)
        for (const [connection, version] of before) {
          // Changed again meanwhile: the next round has the newer answer.
          if (connection.grantVersion !== version) continue
          if (grant === undefined) connection.close(closeCodes.tryAgainLater, 'your roles could not be read; resume')
          else if (grant?.standing !== 'active') connection.expel(closeCodes.sessionRevoked, 'no longer a member')
          else if (connection.grant) connection.grant = within(connection, grant)
        }
      }),
    )
  }

  /** Undefined when it could not be had in time. */
  async #fetchGrant(userId: string): Promise<Grant | null | undefined> {
    try {
      return await answerWithin(GRANT_TIMEOUT_MS, () => this.options.guard.grant(userId))
    } catch (error) {
      this.options.log.warn({ err: error, userId }, "an account's grant could not be fetched")
      return undefined
    }
  }

  #plan(view: View, concerned: Connection[]): Move[] {
    const moves: Move[] = []
    const seen = new Set<Visibility>()
    for (const connection of concerned) {
      const visibility = view.visibility(connection.grant!)
      if (seen.has(visibility)) continue
      seen.add(visibility)
      moves.push({ connection, visibility })
    }
    return moves
  }

  #brandNew(view: View): Set<string> {
    const made = view.authority.snapshot.channels.filter(({ id }) => !this.view.has(id))
    // Before the first snapshot everything would look new.
    return new Set(this.#known ? made.map(({ id }) => channelStream(id)) : [])
  }

  /** Nothing here waits: no event can come in between. */
  #apply(view: View, concerned: Connection[], marks: Marks): void {
    this.view = view
    this.#known = true
    this.#names.keepOnly(new Set(view.audiences.keys()))
    const known = new Map<Visibility, Map<Visibility, string | undefined>>()
    for (const connection of concerned) {
      const before = connection.visibility
      if (!connection.open || !before) continue
      const refusal = memberRefusal(view.authority, connection.grant!)
      if (refusal) {
        connection.expel(closeCodes.sessionRevoked, refusal.title)
        continue
      }
      const after = view.visibility(connection.grant!)
      const frames = known.get(before) ?? new Map<Visibility, string | undefined>()
      known.set(before, frames)
      const own = marks.get(connection.identity!.userId)
      if (!own && !frames.has(after)) frames.set(after, this.#changeFrame(view, difference(before, after)))
      this.#move(connection, before, after)
      const frame = own ? this.#changeFrame(view, difference(before, after), own) : frames.get(after)
      if (frame === undefined) continue
      connection.send(frame)
      this.options.voice().gained(connection, (id) => !before.channels.has(id))
    }
  }

  #move(connection: Connection, before: Visibility, after: Visibility): void {
    this.options.connections.see(connection, after)
    const { positions, socket } = connection
    if (positions) {
      for (const id of before.channels) if (!after.channels.has(id)) positions.delete(channelStream(id))
      for (const id of after.channels) {
        if (!before.channels.has(id)) positions.set(channelStream(id), this.#head(id))
      }
      return
    }
    const kept = new Set(after.topics)
    const had = new Set(before.topics)
    for (const name of before.topics) if (!kept.has(name)) socket.unsubscribe(connection.topic(name))
    for (const name of after.topics) if (!had.has(name)) socket.subscribe(connection.topic(name))
  }

  #head(channelId: string): number {
    return this.options.hub().get(channelStream(channelId))?.head ?? 0
  }

  /** Ephemeral, hence without a number: `ready` always restates what a connection sees. */
  #changeFrame(view: View, change: Difference | undefined, marks?: Map<string, number>): string | undefined {
    if (!change) return undefined
    const at = this.options.clock.now().toISOString()
    const channels = change.gained.map((id) => {
      const channel = view.channelJson(id, this.#head(id))
      return marks ? `${channel.slice(0, -1)},"lastReadSeq":${marks.get(id) ?? 0}}` : channel
    })
    const data = `{"channels":[${channels.join()}],"removed":${JSON.stringify(change.lost)}}`
    return `{"op":"event","t":"access.changed","stream":"user","at":"${at}","d":${data}}`
  }
}
