import type { Bus, Unsubscribe } from '@conntext/bus'
import {
  Authority,
  type AuthorityChange,
  type AuthPort,
  type Grant,
  type Permission,
  type SessionRevocation,
  subjects,
} from '@conntext/contracts'
import { type Clock, type Logger, systemClock } from '@conntext/kernel'
import { Expiring } from './expiring.ts'
import { TokenVerifier } from './tokens.ts'

// The bus says at once when something changes; these bounds are for the day on which it loses a message.
const AUTHORITY_MAX_AGE_MS = 30_000
const GRANT_MAX_AGE_MS = 60_000
const GRANTS_KEPT = 20_000
// Longer than an access token lives: a session that ended before can have no valid token left.
const REVOCATIONS_KEPT_S = 3600

export type Identity = { userId: string; sessionId: string; kind: 'user' | 'bot'; expiresAt: number }

export type GuardOptions = {
  auth: Pick<AuthPort, 'authority' | 'grant' | 'keys' | 'revokedSessions'>
  bus: Bus
  log: Logger
  clock?: Clock
}

/**
 * Who somebody is and what they may do, answered from memory: tokens are verified here, the permission snapshot and
 * the members' grants are cached and dropped when the bus says so. Every service and every gateway has one.
 */
export class Guard {
  readonly #options: Required<GuardOptions>
  readonly #tokens: TokenVerifier
  readonly #authority: Expiring<Authority>
  readonly #grants: Expiring<Grant | null>
  readonly #revoked = new Map<string, number>()
  readonly #unsubscribe: Unsubscribe[] = []
  readonly #onChange = new Set<(change: AuthorityChange) => void>()
  readonly #onRevoked = new Set<(revocation: SessionRevocation) => void>()

  constructor(options: GuardOptions) {
    this.#options = { clock: systemClock, ...options }
    const { auth, clock } = this.#options
    this.#tokens = new TokenVerifier(() => auth.keys({}), clock)
    this.#authority = new Expiring(async () => new Authority(await auth.authority({})), {
      maxAgeMs: AUTHORITY_MAX_AGE_MS,
      maxEntries: 1,
      clock,
    })
    this.#grants = new Expiring((userId) => auth.grant({ userId }), {
      maxAgeMs: GRANT_MAX_AGE_MS,
      maxEntries: GRANTS_KEPT,
      clock,
    })
  }

  /** Listens on the bus and learns which sessions have ended lately. */
  async start(): Promise<void> {
    const { bus } = this.#options
    this.#unsubscribe.push(
      await bus.subscribe(subjects.authority, (payload) => this.#changed(JSON.parse(payload) as AuthorityChange)),
      await bus.subscribe(subjects.sessionRevoked, (payload) => {
        const revocation = JSON.parse(payload) as SessionRevocation
        this.#revoke(revocation.sessionId)
        for (const listener of this.#onRevoked) listener(revocation)
      }),
      bus.onGap(() => {
        this.#changed({})
        this.#grants.clear()
        this.#learnRevocations().catch((error) =>
          this.#options.log.error({ err: error }, 'ended sessions could not be fetched'),
        )
      }),
    )
    await this.#learnRevocations()
  }

  async stop(): Promise<void> {
    await Promise.all(this.#unsubscribe.splice(0).map((end) => end()))
  }

  /** Who a bearer token is for; undefined for one that is wrong, has expired, or whose session or account has ended. */
  async identify(token: string): Promise<Identity | undefined> {
    const claims = await this.#tokens.verify(token)
    if (!claims || this.#revoked.has(claims.sid)) return undefined
    const grant = await this.grant(claims.sub)
    if (grant?.standing !== 'active') return undefined
    return { userId: claims.sub, sessionId: claims.sid, kind: grant.kind, expiresAt: claims.exp * 1000 }
  }

  async authority(): Promise<Authority> {
    return this.#authority.get('')
  }

  async grant(userId: string): Promise<Grant | null> {
    return this.#grants.get(userId)
  }

  /** Whether the member may do it now, on the server or in a channel. */
  async allows(userId: string, permission: Permission, channelId?: string): Promise<boolean> {
    const [authority, grant] = await Promise.all([this.authority(), this.grant(userId)])
    return grant !== null && authority.allows(grant, permission, channelId, this.#options.clock.now().getTime())
  }

  /** Calls back after what people may do has changed; the caches are already empty. */
  onChange(listener: (change: AuthorityChange) => void): () => void {
    this.#onChange.add(listener)
    return () => this.#onChange.delete(listener)
  }

  onRevoked(listener: (revocation: SessionRevocation) => void): () => void {
    this.#onRevoked.add(listener)
    return () => this.#onRevoked.delete(listener)
  }

  #changed(change: AuthorityChange): void {
    if (change.userId === undefined) this.#authority.clear()
    else this.#grants.delete(change.userId)
    for (const listener of this.#onChange) listener(change)
  }

  async #learnRevocations(): Promise<void> {
    const { sessions } = await this.#options.auth.revokedSessions({ seconds: REVOCATIONS_KEPT_S })
    for (const session of sessions) this.#revoke(session.id)
  }

  #revoke(sessionId: string): void {
    const now = this.#options.clock.now().getTime()
    // Insertion order is the order of time, so the ones to forget come first.
    for (const [id, at] of this.#revoked) {
      if (at + REVOCATIONS_KEPT_S * 1000 > now) break
      this.#revoked.delete(id)
    }
    this.#revoked.set(sessionId, now)
  }
}
