import {
  type AuditActor,
  auditFor,
  type Ban,
  type Grant,
  type NewBan,
  type Page,
  type PageQuery,
  pageLimit,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, CURSOR_ID, CURSOR_NUMBER, decodeCursor, encodeCursor, pageOf } from '@conntext/http'
import { newId } from '@conntext/kernel'
import type { Static } from '@sinclair/typebox'
import { readGrant } from '../authority/snapshot.ts'
import type { Changes, Deletion } from '../changes.ts'
import { endMembership } from '../membership/standing.ts'
import { type AdministrationDependencies, administer } from '../roles/administration.ts'
import type { Transaction } from '../transaction.ts'
import { userErrors } from '../users/errors.ts'
import { updateUser } from '../users/queries.ts'
import { toUser } from '../users/users.ts'
import { endAccess } from './ending.ts'
import { banErrors } from './errors.ts'
import { type BanExpiry, endBan } from './expiry.ts'
import { type BannedRow, type BanPosition, banOf, findBan, insertBan, listBans } from './queries.ts'
import { reasonOf } from './reasons.ts'

const audit = auditFor('auth')

type Dependencies = AdministrationDependencies & { db: ServerDetails; changes: Changes; expiry: BanExpiry }

export function createBans(deps: Dependencies) {
  const { db, clock, changes, expiry } = deps

  /** Whoever has an account can be banned, whether or not they are a member. */
  const bannable = async (tx: Transaction, userId: string): Promise<Grant> => {
    await expiry.endWithin(tx, userId)
    const target = await readGrant(tx, userId)
    if (!target || target.standing === 'deleted') throw userErrors.notFound()
    return target
  }

  return {
    /**
     * Bans somebody who stands below the caller: they lose their place, their roles and all that they could come in with.
     * @throws access.forbidden, member.notBelowYou (403), user.notFound (404), ban.exists (409),
     * moderation.reasonRequired (422)
     */
    async ban(caller: Caller, input: NewBan): Promise<Ban> {
      const { userId } = input
      const request = { caller, route: 'POST /v1/bans', permission: 'member.ban' } as const
      const { ban, revoked } = await administer(deps, request, async (tx, who) => {
        const reason = reasonOf(who, caller)
        const target = await bannable(tx, userId)
        who.assertOutranks(target)
        if (target.standing === 'banned') throw banErrors.exists()
        const now = clock.now()
        const expiresAt = later(now, input.expiresInSeconds)
        const actor = actorOf(caller)
        if (target.standing === 'active') await endMembership(tx, changes, { userId, to: 'banned', actor })
        else await updateUser(tx, userId, { standing: 'banned' })
        await insertBan(tx, { userId, bannedBy: caller.userId, reason, createdAt: now, expiresAt })
        const deletion = deletionOf(input, actor, now)
        await changes.owe(tx, {
          audit: [
            audit('member.banned', { ...actor, reason }, userId, {
              expiresAt: expiresAt?.toISOString() ?? null,
              deletedMessagesSince: deletion?.request.since ?? null,
            }),
          ],
          deletions: deletion ? [deletion] : [],
        })
        const revoked = await endAccess(tx, deps, { userId, actor, by: 'ban' })
        return { ban: toBan((await findBan(tx, userId))!), revoked }
      })
      await changes.settled({ authority: [{ userId }], revoked })
      return ban
    },

    /** Whoever was banned is a member again, without roles. @throws ban.notFound (404), moderation.reasonRequired (422) */
    async lift(caller: Caller, userId: string): Promise<void> {
      const request = { caller, route: 'DELETE /v1/bans/:userId', permission: 'member.ban' } as const
      await administer(deps, request, async (tx, who) => {
        const reason = reasonOf(who, caller)
        if (!(await banOf(tx, userId))) throw banErrors.notFound()
        await endBan(tx, deps, { userId, actor: { ...actorOf(caller), reason }, by: 'moderator' })
      })
      await changes.settled({ authority: [{ userId }] })
    },

    /** The bans that hold, newest first. */
    async list(query: Static<typeof PageQuery>): Promise<Page<Ban>> {
      const limit = pageLimit(query.limit)
      const after = query.cursor === undefined ? undefined : positionOf(query.cursor)
      const rows = await listBans(db, { after, limit: limit + 1 })
      return pageOf(rows, limit, toBan, ({ ban }) => encodeCursor([ban.createdAt.getTime(), ban.userId]))
    },

    /** @throws ban.notFound (404) */
    async get(userId: string): Promise<Ban> {
      const row = await findBan(db, userId)
      if (!row) throw banErrors.notFound()
      return toBan(row)
    },
  }
}

export type Bans = ReturnType<typeof createBans>

const later = (now: Date, seconds: number | null | undefined): Date | null =>
  seconds == null ? null : new Date(now.getTime() + seconds * 1000)

/** Where the moderator was is for the audit alone: the order lies in the outbox in clear. */
function deletionOf({ userId, deleteMessagesSeconds = 0 }: NewBan, actor: AuditActor, now: Date) {
  if (deleteMessagesSeconds === 0) return undefined
  const since = new Date(now.getTime() - deleteMessagesSeconds * 1000).toISOString()
  const request = { id: newId(), userId, since, actor: { ...actor, address: null, userAgent: null } }
  return { operation: 'deleteMessagesOf', request } satisfies Deletion
}

function positionOf(cursor: string): BanPosition {
  const [createdAt, userId] = decodeCursor(cursor, [CURSOR_NUMBER, CURSOR_ID])
  return { createdAt: Number(createdAt), userId: userId! }
}

const toBan = ({ ban, user }: BannedRow): Ban => ({
  user: toUser(user),
  bannedBy: ban.bannedBy,
  reason: ban.reason,
  createdAt: ban.createdAt.toISOString(),
  expiresAt: ban.expiresAt?.toISOString() ?? null,
})
