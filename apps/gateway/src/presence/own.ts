import type { ChosenStatus, CustomStatus, SaidPresence } from '@conntext/contracts'
import { isLater, stronger } from './registry.ts'

/** What a client says of itself, once it has been looked at. */
export type Choice = { status?: ChosenStatus; customStatus?: CustomStatus | null }

/** A custom status, and when it was said, in milliseconds; 0 where nothing has been said yet. */
type Known = { customStatus: CustomStatus | null; saidAt: number }

type Session = { userId: string; sessionId: string }

type Account = Known & {
  connections: Map<object, ChosenStatus>
  /** Those that have gone, by session: what they had chosen, and until when they count as if they were there. */
  lingering: Map<string, { status: ChosenStatus; until: number }>
}

/**
 * The accounts that are connected here, or were a moment ago: whoever comes back in time has never been away. Times are
 * in milliseconds; `now` is a clock that never goes back.
 */
export class OwnPresences {
  readonly #accounts = new Map<string, Account>()

  constructor(
    private readonly graceMs: number,
    private readonly now: () => number,
  ) {}

  get size(): number {
    return this.#accounts.size
  }

  userIds(): string[] {
    return [...this.#accounts.keys()]
  }

  /** A connection has become ready. `known` is the custom status that the account has by now, and when it was said. */
  enter({ userId, sessionId }: Session, connection: object, choice: Choice & { at: number }, known: Known): void {
    this.back({ userId, sessionId })
    const account = this.#accounts.get(userId) ?? { connections: new Map(), lingering: new Map(), ...known }
    this.#accounts.set(userId, account)
    account.connections.set(connection, choice.status ?? 'online')
    // A device that comes back must not undo what another has said meanwhile.
    if (account.saidAt > 0 || !choice.customStatus) return
    account.customStatus = choice.customStatus
    account.saidAt = choice.at
  }

  /** `at`: when it says so, by the wall clock. */
  say(userId: string, connection: object, { status, customStatus }: Choice, at: number): void {
    const account = this.#accounts.get(userId)
    if (!account?.connections.has(connection)) return
    if (status !== undefined) account.connections.set(connection, status)
    if (customStatus === undefined) return
    account.customStatus = customStatus
    // Later than what it replaces, whatever the clocks of the gateways say.
    account.saidAt = Math.max(at, account.saidAt + 1)
  }

  /**
   * Another gateway has heard of a later custom status: it stays when the connection that said it goes. Answers whether
   * it is news here.
   */
  adopt({ u, c, t }: SaidPresence): boolean {
    const account = this.#accounts.get(u)
    if (!account || !isLater({ c, t }, { c: account.customStatus, t: account.saidAt })) return false
    account.customStatus = c
    account.saidAt = t
    return true
  }

  /**
   * A session is connected again, here or elsewhere: what it had chosen before counts no more. But for `invisible`, which
   * another window of the same session may have chosen, and is about to say again. Answers whether that is a change.
   */
  back({ userId, sessionId }: Session): boolean {
    const account = this.#accounts.get(userId)
    const status = account?.lingering.get(sessionId)?.status
    if (!account || status === undefined || status === 'invisible') return false
    account.lingering.delete(sessionId)
    this.#letGo(userId, account)
    return true
  }

  /** A connection has gone. With `grace` it may come back. Answers whether it was there. */
  leave({ userId, sessionId }: Session, connection: object, grace: boolean): boolean {
    const account = this.#accounts.get(userId)
    const status = account?.connections.get(connection)
    if (!account || status === undefined) return false
    account.connections.delete(connection)
    if (grace) {
      const before = account.lingering.get(sessionId)?.status
      account.lingering.set(sessionId, { status: stronger(before, status), until: this.now() + this.graceMs })
    }
    this.#letGo(userId, account)
    return true
  }

  /** Those who were here are not waited for any more. Answers whether there was anything to forget. */
  forget(userId: string): boolean {
    const account = this.#accounts.get(userId)
    if (!account || account.lingering.size === 0) return false
    account.lingering.clear()
    this.#letGo(userId, account)
    return true
  }

  /** Lets go those whose time is over, and answers the accounts concerned. */
  expire(): string[] {
    const now = this.now()
    const concerned: string[] = []
    for (const [userId, account] of this.#accounts) {
      if (account.lingering.size === 0) continue
      const before = account.lingering.size
      for (const [sessionId, { until }] of account.lingering) if (until <= now) account.lingering.delete(sessionId)
      if (account.lingering.size === before) continue
      this.#letGo(userId, account)
      concerned.push(userId)
    }
    return concerned
  }

  /** What this gateway says of the account; undefined when it has nothing to do with it. */
  said(userId: string): SaidPresence | undefined {
    const account = this.#accounts.get(userId)
    if (!account) return undefined
    let status: ChosenStatus | undefined
    for (const one of account.connections.values()) status = stronger(status, one)
    for (const one of account.lingering.values()) status = stronger(status, one.status)
    return status && { u: userId, s: status, c: account.customStatus, t: account.saidAt }
  }

  #letGo(userId: string, { connections, lingering }: Account): void {
    if (connections.size + lingering.size === 0) this.#accounts.delete(userId)
  }
}
