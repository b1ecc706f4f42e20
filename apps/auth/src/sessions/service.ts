import {
  type AuditActor,
  type Authenticated,
  auditFor,
  type OwnUser,
  type Page,
  type Session,
  type SessionRevocation,
  userStream,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, type PageRequest, pageById, type Visitor } from '@conntext/http'
import { type Clock, newId, randomToken } from '@conntext/kernel'
import type { KeyedHash, Keyring } from '@conntext/keyring'
import { type Changes, streamEvent } from '../changes.ts'
import type { AccessTokens } from '../keys/access-tokens.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser } from '../users/queries.ts'
import { toOwnUser } from '../users/users.ts'
import { sessionErrors } from './errors.ts'
import {
  findTokenSession,
  insertRefreshToken,
  insertSession,
  listLivingSessions,
  renewSession,
  revokeLivingSession,
  type SessionRow,
  useRefreshToken,
} from './queries.ts'

/** How long a session lives after it was last used. */
export const SESSION_MS = 30 * 24 * 60 * 60_000

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  keyring: Keyring
  tokens: AccessTokens
  changes: Changes
  refreshHash: KeyedHash
}

/** By what somebody can prove who they are: values of the `amr` claim (RFC 8176). */
export type AuthenticationMethod = 'pwd' | 'otp' | 'hwk' | 'mfa' | 'fed'

/** Somebody who has proved who they are, and by what. */
export type Proven = { userId: string; methods: AuthenticationMethod[] }

/** What a session's owner gets once, besides the access token. */
export type Opened = { sessionId: string; refreshToken: string; expiresAt: Date }

/** Whoever has just proved to be the user, as the audit keeps it. */
export const provenActor = (visitor: Visitor, userId: string, sessionId: string): AuditActor => ({
  ...actorOf(visitor),
  kind: 'user',
  id: userId,
  sessionId,
})

export function createSessions({ db, clock, keyring, tokens, changes, refreshHash }: Dependencies) {
  const sealMetadata = (id: string, { address, userAgent }: Visitor) => {
    const { sealed, dataKeyId } = keyring.seal(JSON.stringify({ address, userAgent }), metadataContext(id))
    return { metadata: sealed, dataKeyId }
  }

  const giveToken = async (tx: Transaction, sessionId: string, now: Date): Promise<Opened> => {
    const refreshToken = randomToken()
    await insertRefreshToken(tx, { hash: refreshHash(refreshToken), sessionId, createdAt: now })
    return { sessionId, refreshToken, expiresAt: new Date(now.getTime() + SESSION_MS) }
  }

  /** Ends a session in the caller's transaction; answers what to publish, or nothing where there is none to end. */
  const revoke = async (
    tx: Transaction,
    session: { id: string; userId?: string },
    { actor, by }: { actor: AuditActor; by: 'logout' | 'user' | 'refreshReused' },
  ): Promise<SessionRevocation | undefined> => {
    const userId = await revokeLivingSession(tx, { ...session, now: clock.now() })
    if (!userId) return undefined
    const reused = by === 'refreshReused' ? [audit('session.refreshReused', actor, session.id, { userId })] : []
    await changes.owe(tx, {
      audit: [...reused, audit('session.revoked', actor, session.id, { userId, by })],
      events: [streamEvent(userStream(userId), 'session.revoked', { id: session.id })],
    })
    return { sessionId: session.id, userId }
  }

  const answer = async (user: OwnUser, opened: Opened): Promise<Authenticated> => {
    const access = await tokens.sign({ userId: user.id, sessionId: opened.sessionId })
    return {
      user,
      session: { id: opened.sessionId },
      accessToken: access.token,
      accessTokenExpiresAt: access.expiresAt.toISOString(),
      refreshToken: opened.refreshToken,
      refreshTokenExpiresAt: opened.expiresAt.toISOString(),
    }
  }

  /** Uses the token up; where it has been used before, ends its session. Commits either way. */
  const exchange = (hash: Uint8Array, visitor: Visitor) =>
    db.transaction(async (tx) => {
      const now = clock.now()
      const sessionId = await useRefreshToken(tx, hash, now)
      if (!sessionId) {
        const reusedIn = await findTokenSession(tx, hash)
        const by = { actor: actorOf(visitor), by: 'refreshReused' } as const
        return { revoked: reusedIn === undefined ? undefined : await revoke(tx, { id: reusedIn }, by) }
      }
      const opened = await giveToken(tx, sessionId, now)
      const renewed = { id: sessionId, now, expiresAt: opened.expiresAt, ...sealMetadata(sessionId, visitor) }
      const userId = await renewSession(tx, renewed)
      const user = userId && (await findOwnUser(tx, userId))
      if (!user) throw sessionErrors.refreshTokenInvalid()
      return { user: toOwnUser(user), opened }
    })

  return {
    answer,

    /** Opens a session in the transaction that has proved who it is for. */
    async open(tx: Transaction, { userId, methods }: Proven, visitor: Visitor): Promise<Opened> {
      const now = clock.now()
      const id = newId()
      const expiresAt = new Date(now.getTime() + SESSION_MS)
      const times = { createdAt: now, lastUsedAt: now, authenticatedAt: now, expiresAt }
      await insertSession(tx, { id, userId, methods, ...times, ...sealMetadata(id, visitor) })
      await changes.owe(tx, {
        audit: [audit('session.created', provenActor(visitor, userId, id), id, {})],
        events: [streamEvent(userStream(userId), 'session.created', { id })],
      })
      return giveToken(tx, id, now)
    },

    /**
     * Exchanges a refresh token for a new one. Each works once: one that comes back is taken for a theft and ends the
     * session, without a grace for an answer that was lost or for two that try at once, because a thief who is fast
     * looks the same. A client whose answer was lost logs in again.
     * @throws session.refreshTokenInvalid (401), the same for unknown, used and expired ones
     */
    async refresh(refreshToken: string, visitor: Visitor): Promise<Authenticated> {
      const { user, opened, revoked } = await exchange(refreshHash(refreshToken), visitor)
      if (user) return answer(user, opened)
      if (revoked) await changes.settled({ revoked: [revoked] })
      throw sessionErrors.refreshTokenInvalid()
    },

    async logout(caller: Caller): Promise<void> {
      const session = { id: caller.sessionId, userId: caller.userId }
      const revoked = await db.transaction((tx) => revoke(tx, session, { actor: actorOf(caller), by: 'logout' }))
      if (revoked) await changes.settled({ revoked: [revoked] })
    },

    /** @throws session.notFound (404), also for other people's sessions */
    async end(caller: Caller, id: string): Promise<void> {
      const session = { id, userId: caller.userId }
      const revoked = await db.transaction((tx) => revoke(tx, session, { actor: actorOf(caller), by: 'user' }))
      if (!revoked) throw sessionErrors.notFound()
      await changes.settled({ revoked: [revoked] })
    },

    async list(caller: Caller, page: PageRequest): Promise<Page<Session>> {
      const rows = await listLivingSessions(db, caller.userId, { now: clock.now(), page })
      const { items, nextCursor } = pageById(rows, page.limit, (row) => row)
      return { items: await Promise.all(items.map((row) => toSession(row, keyring, caller.sessionId))), nextCursor }
    },
  }
}

export type Sessions = ReturnType<typeof createSessions>

/** What a session's metadata is sealed for. */
export const metadataContext = (id: string) => `session:${id}`

async function toSession(row: SessionRow, keyring: Keyring, current: string): Promise<Session> {
  const opened = await keyring.open({ dataKeyId: row.dataKeyId, sealed: row.metadata }, metadataContext(row.id))
  const { address, userAgent } = JSON.parse(opened.toString()) as Pick<Session, 'address' | 'userAgent'>
  return {
    id: row.id,
    current: row.id === current,
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt.toISOString(),
    authenticatedAt: row.authenticatedAt.toISOString(),
    methods: row.methods,
    address,
    userAgent,
    device: null,
  }
}
