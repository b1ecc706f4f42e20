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
import { networkOf } from '../throttle/network.ts'
import type { Transaction } from '../transaction.ts'
import { findOwnUser, lockUser } from '../users/queries.ts'
import { toOwnUser } from '../users/users.ts'
import { deviceOf } from './device.ts'
import { endSessions } from './ending.ts'
import { sessionErrors } from './errors.ts'
import {
  findLivingSession,
  findRefreshToken,
  insertRefreshToken,
  insertSession,
  listIdleSessions,
  listLivingSessions,
  renewSession,
  revokeLivingSession,
  type SessionRow,
  useRefreshToken,
} from './queries.ts'
import { openSuccessor, sealSuccessor } from './successors.ts'

/** How long a session lives after it was last used. */
export const SESSION_MS = 30 * 24 * 60 * 60_000

/** For how long after its first use a refresh token brings the same successor: two tabs, or an answer that was lost. */
export const REFRESH_GRACE_MS = 10_000

/** How many sessions an account may have; one more ends the one that was idle longest. */
export const MAX_SESSIONS = 100

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  keyring: Keyring
  tokens: AccessTokens
  changes: Changes
  refreshHash: KeyedHash
  /** Makes the key of a refresh token's successor from the token. */
  successorKey: KeyedHash
}

/** By what somebody can prove who they are: values of the `amr` claim (RFC 8176). */
export type AuthenticationMethod = 'pwd' | 'otp' | 'hwk' | 'mfa' | 'fed'

/** Somebody who has proved who they are, and by what. */
export type Proven = { userId: string; methods: AuthenticationMethod[] }

/** What a session's owner gets once, besides the access token. */
type Given = { sessionId: string; refreshToken: string; expiresAt: Date }

/** A new session, and those that ended for it: to be published after the commit. */
export type Opened = Given & { ended: SessionRevocation[] }

/** Whoever has just proved to be the user, as the audit keeps it. */
export const provenActor = (visitor: Visitor, userId: string, sessionId: string): AuditActor => ({
  ...actorOf(visitor),
  kind: 'user',
  id: userId,
  sessionId,
})

export function createSessions(deps: Dependencies) {
  const { db, clock, keyring, tokens, changes, refreshHash, successorKey } = deps

  const sealMetadata = (id: string, { address, userAgent }: Visitor) => {
    const { sealed, dataKeyId } = keyring.seal(JSON.stringify({ address, userAgent }), metadataContext(id))
    return { metadata: sealed, dataKeyId }
  }

  const giveToken = async (
    tx: Transaction,
    { sessionId, now, refreshToken }: { sessionId: string; now: Date; refreshToken: string },
  ): Promise<Given> => {
    await insertRefreshToken(tx, { hash: refreshHash(refreshToken), sessionId, createdAt: now })
    return { sessionId, refreshToken, expiresAt: new Date(now.getTime() + SESSION_MS) }
  }

  /** Ends a session in the caller's transaction; answers what to publish, or nothing where there is none to end. */
  const revoke = async (
    tx: Transaction,
    session: { id: string; userId?: string },
    { actor, by }: { actor: AuditActor; by: 'logout' | 'user' | 'refreshReused' | 'tooMany' },
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

  const answer = async (user: OwnUser, opened: Given): Promise<Authenticated> => {
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

  /** The successor of a used token, as long as nobody can be told from somebody who came second. */
  const repeat = async (tx: Transaction, token: string, hash: Uint8Array) => {
    const now = clock.now()
    const used = await findRefreshToken(tx, hash)
    if (!used?.usedAt || !used.successor || used.usedAt.getTime() + REFRESH_GRACE_MS <= now.getTime()) return undefined
    const refreshToken = openSuccessor(successorKey(token), { ...used, successor: used.successor })
    // Whoever has used the successor has the answer: this one is somebody else.
    if ((await findRefreshToken(tx, refreshHash(refreshToken)))?.usedAt !== null) return undefined
    const session = await findLivingSession(tx, used.sessionId, now)
    if (!session) return undefined
    const given: Given = { sessionId: session.id, refreshToken, expiresAt: session.expiresAt }
    return { user: await ownerOf(tx, session.userId), given }
  }

  /** Uses the token up; where it has been used before and it is no mere repeat, ends its session. Commits either way. */
  const exchange = (token: string, visitor: Visitor) =>
    db.transaction(async (tx) => {
      const now = clock.now()
      const hash = refreshHash(token)
      const refreshToken = randomToken()
      const successor = sealSuccessor(successorKey(token), { hash, successor: refreshToken })
      const sessionId = await useRefreshToken(tx, { hash, successor, now })
      if (!sessionId) {
        return (await repeat(tx, token, hash)) ?? { revoked: await revokeReused(tx, hash, visitor) }
      }
      const given = await giveToken(tx, { sessionId, now, refreshToken })
      const renewed = { id: sessionId, now, expiresAt: given.expiresAt, ...sealMetadata(sessionId, visitor) }
      return { user: await ownerOf(tx, await renewSession(tx, renewed)), given }
    })

  const ownerOf = async (tx: Transaction, userId: string | undefined): Promise<OwnUser> => {
    const user = userId && (await findOwnUser(tx, userId))
    if (!user) throw sessionErrors.refreshTokenInvalid()
    return toOwnUser(user)
  }

  const revokeReused = async (tx: Transaction, hash: Uint8Array, visitor: Visitor) => {
    const token = await findRefreshToken(tx, hash)
    return token && revoke(tx, { id: token.sessionId }, { actor: actorOf(visitor), by: 'refreshReused' })
  }

  /** Ends those that an account has too many of, the ones used longest ago. */
  const endIdle = async (tx: Transaction, userId: string, actor: AuditActor): Promise<SessionRevocation[]> => {
    const ended: SessionRevocation[] = []
    for (const id of await listIdleSessions(tx, userId, { now: clock.now(), kept: MAX_SESSIONS })) {
      const revoked = await revoke(tx, { id }, { actor, by: 'tooMany' })
      if (revoked) ended.push(revoked)
    }
    return ended
  }

  return {
    answer,

    /** Opens a session in the transaction that has proved who it is for, and has locked the account. */
    async open(tx: Transaction, { userId, methods }: Proven, visitor: Visitor): Promise<Opened> {
      const now = clock.now()
      const id = newId()
      const expiresAt = new Date(now.getTime() + SESSION_MS)
      const times = { createdAt: now, lastUsedAt: now, authenticatedAt: now, expiresAt }
      await insertSession(tx, { id, userId, methods, ...times, ...sealMetadata(id, visitor) })
      const actor = provenActor(visitor, userId, id)
      await changes.owe(tx, {
        audit: [audit('session.created', actor, id, {})],
        events: [streamEvent(userStream(userId), 'session.created', { id })],
      })
      const ended = await endIdle(tx, userId, actor)
      return { ...(await giveToken(tx, { sessionId: id, now, refreshToken: randomToken() })), ended }
    },

    /**
     * Exchanges a refresh token for a new one. Each works once; within ten seconds of that use it brings the same one
     * again, as long as that hasn't been used itself. Any other repeat is taken for a theft and ends the session.
     * @throws session.refreshTokenInvalid (401), the same for unknown, used and expired ones
     */
    async refresh(refreshToken: string, visitor: Visitor): Promise<Authenticated> {
      const outcome = await exchange(refreshToken, visitor)
      if ('user' in outcome) return answer(outcome.user, outcome.given)
      if (outcome.revoked) await changes.settled({ revoked: [outcome.revoked] })
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

    /** Whether one of somebody's sessions was last used from about there. */
    async isUsedFrom(userId: string, address: string): Promise<boolean> {
      const rows = await listLivingSessions(db, userId, {
        now: clock.now(),
        page: { limit: MAX_SESSIONS, after: undefined },
      })
      const places = await Promise.all(rows.map((row) => openMetadata(keyring, row)))
      return places.some((place) => place.address !== null && networkOf(place.address) === networkOf(address))
    },

    /** Ends all but the one that this is asked with. */
    async endOthers(caller: Caller): Promise<void> {
      const others = { userId: caller.userId, except: caller.sessionId, actor: actorOf(caller), by: 'user' }
      const revoked = await db.transaction(async (tx) => {
        await lockUser(tx, caller.userId)
        return endSessions(tx, deps, others)
      })
      await changes.settled({ revoked })
    },

    /** @throws session.notFound (404), also for other people's sessions */
    async find(caller: Caller, id: string): Promise<Session> {
      const row = await findLivingSession(db, id, clock.now())
      if (row?.userId !== caller.userId) throw sessionErrors.notFound()
      return toSession(row, keyring, caller.sessionId)
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

async function openMetadata(keyring: Keyring, { id, dataKeyId, metadata }: SessionRow) {
  const opened = await keyring.open({ dataKeyId, sealed: metadata }, metadataContext(id))
  return JSON.parse(opened.toString()) as Pick<Session, 'address' | 'userAgent'>
}

async function toSession(row: SessionRow, keyring: Keyring, current: string): Promise<Session> {
  const { address, userAgent } = await openMetadata(keyring, row)
  return {
    id: row.id,
    current: row.id === current,
    createdAt: row.createdAt.toISOString(),
    lastUsedAt: row.lastUsedAt.toISOString(),
    authenticatedAt: row.authenticatedAt.toISOString(),
    methods: row.methods,
    address,
    userAgent,
    device: deviceOf(userAgent),
  }
}
