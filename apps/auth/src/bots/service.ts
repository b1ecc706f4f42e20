import {
  auditFor,
  type Bot,
  type BotPatch,
  changedFields,
  type NewBot,
  type Page,
  SERVER_STREAM,
} from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, cleanName, type PageRequest, pageById } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import { type Changes, streamEvent } from '../changes.ts'
import type { Refusals } from '../refusals.ts'
import { insertAccount } from '../registration/queries.ts'
import { administer } from '../roles/administration.ts'
import { eraseAccount } from '../users/erasure.ts'
import { updateUser } from '../users/queries.ts'
import { isReservedUsername, toUser, usernameKey, usernameSkeleton } from '../users/users.ts'
import { botErrors } from './errors.ts'
import { manageBot } from './management.ts'
import { type BotRow, listBots } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = { db: ServerDetails; clock: Clock; changes: Changes; refusals: Refusals }

const permission = 'bot.manage'

export function createBots(deps: Dependencies) {
  const { db, changes } = deps

  return {
    async list(page: PageRequest): Promise<Page<Bot>> {
      return pageById(await listBots(db, page), page.limit, toBot)
    },

    /** Makes an account without a password; it is a member at once. @throws bot.usernameTaken (409) */
    async create(caller: Caller, { username, displayName }: NewBot): Promise<Bot> {
      const route = 'POST /v1/bots'
      const bot = await withFreeName(() =>
        administer(deps, { caller, route, permission }, async (tx) => {
          const row = await insertAccount(tx, {
            id: newId(),
            kind: 'bot',
            createdBy: caller.userId,
            ...named(username),
            displayName: shown(displayName) ?? null,
            passwordHash: null,
          })
          const user = toUser(row)
          await changes.owe(tx, {
            audit: [audit('bot.created', actorOf(caller), user.id, { username })],
            events: [streamEvent(SERVER_STREAM, 'member.joined', { user, roleIds: [], joinedAt: user.createdAt })],
          })
          return toBot({ ...row, createdBy: caller.userId, roleIds: [] })
        }),
      )
      await changes.settled()
      return bot
    },

    /** @throws bot.notFound (404), member.notBelowYou (403), bot.usernameTaken (409) */
    async update(caller: Caller, id: string, { username, displayName }: BotPatch): Promise<Bot> {
      const route = 'PATCH /v1/bots/:id'
      const wanted = {
        ...(username === undefined ? {} : { username }),
        ...(displayName === undefined ? {} : { displayName: shown(displayName) ?? null }),
      }
      const bot = await withFreeName(() =>
        administer(deps, { caller, route, permission }, async (tx, who) => {
          const row = await manageBot(tx, who, id)
          const changed = changedFields<BotPatch>(toBot(row), wanted)
          if (!changed) return toBot(row)
          await updateUser(tx, id, { ...wanted, ...(username === undefined ? {} : named(username)) })
          const after = { ...row, ...wanted }
          await changes.owe(tx, {
            audit: [audit('bot.updated', actorOf(caller), id, { fields: Object.keys(changed.changes), ...changed })],
            events: [streamEvent(SERVER_STREAM, 'user.updated', toUser(after))],
          })
          return toBot(after)
        }),
      )
      await changes.settled()
      return bot
    },

    /** Ends its tokens and leaves nothing of it but its messages. @throws bot.notFound (404), member.notBelowYou (403) */
    async remove(caller: Caller, id: string): Promise<void> {
      const route = 'DELETE /v1/bots/:id'
      const settled = await administer(deps, { caller, route, permission }, async (tx, who) => {
        await manageBot(tx, who, id)
        return eraseAccount(tx, deps, { userId: id, actor: actorOf(caller), messages: 'keep' })
      })
      await changes.settled(settled)
    },
  }
}

export type Bots = ReturnType<typeof createBots>

/** @throws bot.usernameTaken (409) for a name that nobody may have */
function named(username: string) {
  if (isReservedUsername(username)) throw botErrors.usernameTaken()
  return { username, usernameKey: usernameKey(username), usernameSkeleton: usernameSkeleton(username) }
}

const shown = (displayName: string | null | undefined) =>
  displayName && cleanName(displayName, { path: '/body/displayName' })

/** The indexes decide: of two that ask for one name at once, both would find it free. */
async function withFreeName<T>(change: () => Promise<T>): Promise<T> {
  try {
    return await change()
  } catch (error) {
    const taken = isUniqueViolation(error, 'users_username_key') || isUniqueViolation(error, 'users_username_skeleton')
    throw taken ? botErrors.usernameTaken() : error
  }
}

const toBot = (row: BotRow): Bot => ({
  ...toUser(row),
  createdBy: row.createdBy,
  isMember: row.standing === 'active',
})
