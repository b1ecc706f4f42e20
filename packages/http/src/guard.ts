import type { Bus, Unsubscribe } from '@conntext/bus'
import {
  Authority,
  type AuthorityChange,
  type AuthPort,
  type Grant,
  isApiToken,
  type Permission,
  type SessionRevocation,
  subjects,
} from '@conntext/contracts'
import { type Clock, type Logger, systemClock } from '@conntext/kernel'
import { ApiTokens } from './api-tokens.ts'
import { Expiring } from './expiring.ts'
import { LONGEST_LIFE_MS, TokenVerifier } from './tokens.ts'

// The bus says at once when something changes; these bounds are for the day on which it loses a message.
const AUTHORITY_MAX_AGE_MS = 30_000
const GRANT_MAX_AGE_MS = 60_000
const GRANTS_KEPT = 20_000
// Longer than an access token lives, and than an API token is remembered: of what ended before, nothing is valid.
const REVOCATIONS_KEPT_S = LONGEST_LIFE_MS / 1000
const LEARN_AGAIN_AFTER_MS = 1_000

/**
 * Who a bearer token is for. An API token's id stands in the session's place, `scopes` are all that it may be used for,
 * and `expiresAt` (milliseconds) is infinite where it has no end.
 */
export type Identity = {
  userId: string
  sessionId: string
  kind: 'user' | 'bot'
  scopes: readonly Permission[] | null
  expiresAt: number
}

/** Who wants to do something: with an API token, no more than its scopes. */
export type Principal = { userId: string; scopes?: readonly Permission[] | null }

/**
 * Whether what somebody came with is for that, whatever they may do: an API token with other scopes is not. For what
 * everybody may do with what is their own.
 */
export const inScope = ({ scopes }: Pick<Principal, 'scopes'>, permission: Permission): boolean =>
  !scopes || scopes.includes(permission) || scopes.includes('administrator')

/** Whether somebody takes part in a conversation; false as well for what is none. */
export type IsParticipant = (conversationId: string, userId: string) => Promise<boolean>

export type EndedSession = Pick<SessionRevocation, 'sessionId'>

export type GuardOptions = {
  auth: Pick<AuthPort, 'authority' | 'grant' | 'keys' | 'revokedSessions' | 'identifyToken'>
  bus: Bus
  log: Logger
  clock?: Clock
}

/** What a guard remembers. */
type Memory = {
  tokens: TokenVerifier
  authority: Expiring<Authority>
  grants: Expiring<Grant | null>
  apiTokens: ApiTokens
  revoked: Map<string, number>
  onChange: Set<(change: AuthorityChange) => void>
  onRevoked: Set<(revocation: EndedSession) => void>
}

type Bearer = Omit<Identity, 'kind'>

const HAS_ACCOUNT = new Set<Grant['standing']>(['active', 'left'])

/**
 * Who somebody is and what they may do, answered from memory: tokens are verified here, the permission snapshot and
 * the members' grants are cached and dropped when the bus says so. Every service and every gateway has one.
 */
export class Guard {
  readonly #options: Required<GuardOptions>
  readonly #memory: Memory
  readonly #unsubscribe: Unsubscribe[] = []
  #isParticipant: IsParticipant | undefined
  #learningAgain: Timer | undefined

  constructor(options: GuardOptions, memory?: Memory) {
    this.#options = { clock: systemClock, ...options }
    this.#memory = memory ?? remember(this.#options)
  }

  /**
   * This guard, for a service that knows who takes part in which conversation: it is asked about every channel that the
   * snapshot doesn't have. It remembers and forgets with this one, which is the one to start and to stop.
   */
  withConversations(isParticipant: IsParticipant): Guard {
    const guard = new Guard(this.#options, this.#memory)
    guard.#isParticipant = isParticipant
    return guard
  }

  /** Listens on the bus and learns which sessions have ended lately. Where it fails it can be tried again. */
  async start(): Promise<void> {
    try {
      // In this order: what ends while the list is on its way is heard.
      await this.#listen()
      await this.learnRevocations()
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async #listen(): Promise<void> {
    const { bus } = this.#options
    this.#unsubscribe.push(
      await bus.subscribe(subjects.authority, (payload) => this.#changed(JSON.parse(payload) as AuthorityChange)),
      await bus.subscribe(subjects.sessionRevoked, (payload) => {
        this.#revoke((JSON.parse(payload) as SessionRevocation).sessionId)
      }),
      bus.onGap(() => {
        this.#memory.grants.clear()
        this.#changed({})
        void this.#learnMissedRevocations()
      }),
    )
  }

  async stop(): Promise<void> {
    clearTimeout(this.#learningAgain)
    await Promise.all(this.#unsubscribe.splice(0).map((end) => end()))
  }

  /**
   * Who a bearer token is for, be it an access token or an API token; undefined for one that is wrong, has expired, or
   * whose session or account has ended. Somebody who has left is known as well: they have an account, and no more.
   */
  async identify(token: string): Promise<Identity | undefined> {
    const bearer = isApiToken(token) ? await this.#bearerOfApiToken(token) : await this.#bearerOfAccessToken(token)
    if (!bearer || this.#memory.revoked.has(bearer.sessionId)) return undefined
    const grant = await this.grant(bearer.userId)
    // Asked again: the session may have ended while the grant was on its way.
    if (!grant || !HAS_ACCOUNT.has(grant.standing) || this.#memory.revoked.has(bearer.sessionId)) return undefined
    return { ...bearer, kind: grant.kind }
  }

  async #bearerOfAccessToken(token: string): Promise<Bearer | undefined> {
    const claims = await this.#memory.tokens.verify(token)
    return claims && { userId: claims.sub, sessionId: claims.sid, scopes: null, expiresAt: claims.exp * 1000 }
  }

  async #bearerOfApiToken(token: string): Promise<Bearer | undefined> {
    const found = await this.#memory.apiTokens.find(token)
    if (!found) return undefined
    const { tokenId, userId, scopes } = found
    const expiresAt = found.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(found.expiresAt)
    if (expiresAt <= this.#options.clock.now().getTime()) return undefined
    return { userId, sessionId: tokenId, scopes, expiresAt }
  }

  async authority(): Promise<Authority> {
    return this.#memory.authority.get('')
  }

  async grant(userId: string): Promise<Grant | null> {
    return this.#memory.grants.get(userId)
  }

  /** What somebody brings, within the scopes of what they came with. */
  async grantOf({ userId, scopes = null }: Principal): Promise<Grant | null> {
    const grant = await this.grant(userId)
    return grant && (scopes === null ? grant : { ...grant, scopes })
  }

  /** Whether they may do it now, on the server or in a channel. */
  async allows(principal: Principal, permission: Permission, channelId?: string): Promise<boolean> {
    const [authority, grant] = await Promise.all([this.authority(), this.grantOf(principal)])
    if (grant === null) return false
    const now = this.#options.clock.now().getTime()
    if (channelId === undefined || !this.#isParticipant || authority.hasChannel(channelId)) {
      return authority.allows(grant, permission, channelId, now)
    }
    return authority.allowsParticipant(grant, permission, now) && this.#isParticipant(channelId, principal.userId)
  }

  /** Whether they may do it in the conversations that they take part in. */
  async allowsParticipant(principal: Principal, permission: Permission): Promise<boolean> {
    const [authority, grant] = await Promise.all([this.authority(), this.grantOf(principal)])
    return grant !== null && authority.allowsParticipant(grant, permission, this.#options.clock.now().getTime())
  }

  /** Calls back after what people may do has changed; the caches are already empty. */
  onChange(listener: (change: AuthorityChange) => void): () => void {
    this.#memory.onChange.add(listener)
    return () => this.#memory.onChange.delete(listener)
  }

  /** Calls back, once, for each session that has ended, also for those that the bus kept silent about. */
  onRevoked(listener: (ended: EndedSession) => void): () => void {
    this.#memory.onRevoked.add(listener)
    return () => this.#memory.onRevoked.delete(listener)
  }

  #changed(change: AuthorityChange): void {
    if (change.userId === undefined) this.#memory.authority.clear()
    else this.#memory.grants.delete(change.userId)
    for (const listener of this.#memory.onChange) listener(change)
  }

  /**
   * Learns which sessions and API tokens have ended lately, in case the bus lost the news: for whoever holds something
   * open in their name, since an API token may live for ever.
   */
  async learnRevocations(): Promise<void> {
    const { sessions } = await this.#options.auth.revokedSessions({ seconds: REVOCATIONS_KEPT_S })
    for (const session of sessions) this.#revoke(session.id)
  }

  // Until it succeeds: a session that ended in the gap would live on as long as its token.
  async #learnMissedRevocations(): Promise<void> {
    clearTimeout(this.#learningAgain)
    try {
      await this.learnRevocations()
    } catch (error) {
      if (this.#unsubscribe.length === 0) return
      this.#options.log.warn({ err: error }, 'ended sessions could not be fetched; it will be tried again')
      this.#learningAgain = setTimeout(() => void this.#learnMissedRevocations(), LEARN_AGAIN_AFTER_MS)
    }
  }

  #revoke(sessionId: string): void {
    if (this.#memory.revoked.has(sessionId)) return
    const now = this.#options.clock.now().getTime()
    // Insertion order is the order of time, so the ones to forget come first.
    for (const [id, at] of this.#memory.revoked) {
      if (at + REVOCATIONS_KEPT_S * 1000 > now) break
      this.#memory.revoked.delete(id)
    }
    this.#memory.revoked.set(sessionId, now)
    for (const listener of this.#memory.onRevoked) listener({ sessionId })
  }
}

function remember({ auth, clock }: Required<GuardOptions>): Memory {
  return {
    tokens: new TokenVerifier(() => auth.keys({}), clock),
    authority: new Expiring(async () => new Authority(await auth.authority({})), {
      maxAgeMs: AUTHORITY_MAX_AGE_MS,
      maxEntries: 1,
      clock,
    }),
    grants: new Expiring((userId) => auth.grant({ userId }), {
      maxAgeMs: GRANT_MAX_AGE_MS,
      maxEntries: GRANTS_KEPT,
      clock,
    }),
    apiTokens: new ApiTokens({ identifyToken: (query) => auth.identifyToken(query), clock }),
    revoked: new Map(),
    onChange: new Set(),
    onRevoked: new Set(),
  }
}
