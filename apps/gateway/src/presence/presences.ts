import type { Bus } from '@conntext/bus'
import { ephemeralFrame, type Presence, type SaidPresence, userStream } from '@conntext/contracts'
import type { Guard } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Connection } from '../sockets/connection.ts'
import type { Connections } from '../sockets/connections.ts'
import { Board } from './board.ts'
import { Gossip } from './gossip.ts'
import { type Choice, OwnPresences } from './own.ts'
import { type Combined, Registry, saysTheSame } from './registry.ts'

export type PresencesOptions = {
  config: GatewayConfig['presence']
  bus: Bus
  guard: Guard
  connections: Connections
  clock: Clock
  log: Logger
  /** Whether it is being found out who may be here at all. */
  held(): boolean
  /** Sends a frame to all clients; answers how many there are. */
  publish(frame: string, count: number): number
  /** How many accounts are there. */
  counted(count: number): void
}

/** A person's API token is at work without them: only where they have logged in are they there. A bot is its token. */
export const standsForPresence = ({ identity }: Pick<Connection, 'identity'>): boolean =>
  identity !== undefined && (identity.scopes === null || identity.kind === 'bot')

const ABSENT = { status: 'offline', customStatus: null, saidAt: 0 } as const

/**
 * Who is there. An account's presence is made of all its connections on all gateways: each gateway tells the others what
 * its own connections say, and each puts it together for itself.
 */
export class Presences {
  readonly #registry = new Registry((userId) => this.#changed(userId))
  readonly #own: OwnPresences
  readonly #gossip: Gossip
  readonly #board: Board
  /** What the account's own connections were told last, for those that are connected here. */
  readonly #ownTold = new Map<string, string>()
  readonly #ownDirty = new Set<string>()
  /** When custom statuses run out. */
  readonly #expiring = new Map<string, number>()
  #ownTimer: Timer | undefined
  #ticking: Timer | undefined
  #endListening: (() => void) | undefined
  #stopped = false

  constructor(private readonly options: PresencesOptions) {
    const { config, bus, log, clock, held, publish, counted } = options
    const now = () => performance.now()
    this.#own = new OwnPresences(config.graceMs, now)
    const heard = (said: SaidPresence) => {
      if (this.#own.adopt(said)) this.#say(said.u)
    }
    const cameBack = (session: { userId: string; sessionId: string }) => {
      if (this.#own.back(session)) this.#say(session.userId)
    }
    const registry = this.#registry
    this.#gossip = new Gossip({ bus, log, config, registry, own: this.#own, heard, cameBack, now })
    this.#board = new Board({ config, clock, now, of: (userId) => this.#of(userId), held, publish, counted })
  }

  /** Resolves when it is known who is there, as far as the others could say in time. */
  async start(): Promise<void> {
    this.#endListening = this.options.guard.onChange(({ userId }) => {
      if (userId !== undefined && this.#registry.get(userId)) void this.#recheck(userId)
    })
    await this.#gossip.start()
    this.#board.settle()
    this.#ticking = setInterval(() => this.#tick(), this.options.config.tickMs)
  }

  /** From now on nobody who goes has gone: they are coming back elsewhere. */
  async leave(): Promise<void> {
    this.#stopped = true
    this.#endListening?.()
    clearInterval(this.#ticking)
    clearTimeout(this.#ownTimer)
    this.#board.stop()
    await this.#gossip.leave()
  }

  /** A connection becomes ready, right now. */
  enter(connection: Connection, choice: Choice): void {
    if (!standsForPresence(connection)) return
    const session = connection.identity!
    const { userId } = session
    const { customStatus, saidAt } = this.#registry.get(userId) ?? ABSENT
    this.#own.enter(session, connection, { ...choice, at: this.#wallClock() }, { customStatus, saidAt })
    this.#say(userId)
    this.#gossip.entered(session)
    this.#ownTold.set(userId, JSON.stringify(this.ofOneself(userId)))
  }

  /** A connection says how it is from now on; answers what its account is then. */
  say(connection: Connection, choice: Choice): Presence {
    const { userId } = connection.identity!
    this.#own.say(userId, connection, choice, this.#wallClock())
    this.#say(userId)
    return this.ofOneself(userId)
  }

  /** A connection has gone: whoever was sent away is gone at once, anybody else may come back in a moment. */
  left(connection: Connection): void {
    const session = connection.identity
    if (!session || this.#stopped || !standsForPresence(connection)) return
    const { userId } = session
    if (this.#own.leave(session, connection, !connection.expelled)) this.#say(userId)
    if (this.options.connections.ofUser(userId).length === 0) this.#ownTold.delete(userId)
  }

  /** As an account sees itself. */
  ofOneself(userId: string): Presence {
    const { status, customStatus } = this.#of(userId) ?? ABSENT
    return { userId, status, customStatus }
  }

  isInvisible(userId: string): boolean {
    return this.#registry.get(userId)?.status === 'invisible'
  }

  /** The part of `ready` about presences; whom one talks with comes first. */
  readyPart(userId: string, partners: Iterable<string>): string {
    return `"presence":${JSON.stringify(this.ofOneself(userId))},${this.#board.forReady(partners, userId)}`
  }

  /** As everybody sees everybody. */
  list: Board['list'] = (query) => this.#board.list(query)

  #wallClock(): number {
    return this.options.clock.now().getTime()
  }

  /** Takes over what the connections here say of an account, and has the other gateways told. */
  #say(userId: string): void {
    const { name } = this.#gossip
    const said = this.#own.said(userId)
    const before = this.#registry.saidBy(name, userId)
    if (said) this.#registry.put(name, said)
    else this.#registry.remove(name, userId)
    if (!saysTheSame(before, said)) this.#gossip.changed(userId)
  }

  #of(userId: string): Combined | undefined {
    const known = this.#registry.get(userId)
    const expiresAt = known?.customStatus?.expiresAt
    if (!known || !expiresAt) {
      this.#expiring.delete(userId)
      return known
    }
    const at = Date.parse(expiresAt)
    if (at > this.#wallClock()) {
      this.#expiring.set(userId, at)
      return known
    }
    this.#expiring.delete(userId)
    return { ...known, customStatus: null }
  }

  #changed(userId: string): void {
    this.#board.changed(userId)
    if (!this.#ownTold.has(userId)) return
    this.#ownDirty.add(userId)
    this.#ownTimer ??= setTimeout(() => this.#tellOwn(), this.options.config.windowMs)
  }

  /** Everybody's own devices hear how they are, also when nobody else does. */
  #tellOwn(): void {
    this.#ownTimer = undefined
    const at = this.options.clock.now().toISOString()
    for (const userId of this.#ownDirty) {
      const told = JSON.stringify(this.ofOneself(userId))
      if (!this.#ownTold.has(userId) || this.#ownTold.get(userId) === told) continue
      this.#ownTold.set(userId, told)
      const frame = ephemeralFrame(userStream(userId), 'presence.updated', at, `{"presences":[${told}]}`)
      for (const connection of this.options.connections.ofUser(userId))
        if (connection.visibility) connection.send(frame)
    }
    this.#ownDirty.clear()
  }

  #tick(): void {
    this.#gossip.tick()
    for (const userId of this.#own.expire()) this.#say(userId)
    const now = this.#wallClock()
    for (const [userId, at] of this.#expiring) if (at <= now) this.#changed(userId)
  }

  /** Somebody's roles or standing have changed: who is no member any more has not just lost the connection. */
  async #recheck(userId: string): Promise<void> {
    try {
      if ((await this.options.guard.grant(userId))?.standing === 'active') return
      if (this.#own.forget(userId)) this.#say(userId)
      this.#registry.forget(userId, this.#gossip.name)
    } catch (error) {
      this.options.log.warn({ err: error, userId }, 'it could not be found out whether somebody is still a member')
    }
  }
}
