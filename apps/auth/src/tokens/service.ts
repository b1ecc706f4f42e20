import {
  API_TOKEN_DEFAULT_S,
  type ApiToken,
  auditFor,
  type CreatedApiToken,
  isPermission,
  type NewApiToken,
  newApiToken,
  type Page,
  type Permission,
  type SessionRevocation,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller, cleanLabel, type Guard, type PageRequest, pageById } from '@conntext/http'
import { type Clock, newId } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import { botErrors } from '../bots/errors.ts'
import { manageBot } from '../bots/management.ts'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import type { Refusals } from '../refusals.ts'
import { administer } from '../roles/administration.ts'
import { inOrder } from '../roles/roles.ts'
import type { Transaction } from '../transaction.ts'
import { tokenErrors } from './errors.ts'
import {
  type ApiTokenRow,
  countLivingApiTokens,
  findLivingApiToken,
  insertApiToken,
  listApiTokens,
  lockMember,
  revokeApiToken,
} from './queries.ts'

/** How many an account can have that can be used. */
export const MOST_TOKENS = 100

const CREATE = 'POST /v1/auth/tokens'
const REMOVE = 'DELETE /v1/auth/tokens/:id'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  guard: Guard
  changes: Changes
  refusals: Refusals
  confirmation: Confirmation
  tokenHash: KeyedHash
}

export function createApiTokens(deps: Dependencies) {
  const { db, clock, guard, changes, refusals, confirmation, tokenHash } = deps

  /** Nobody gives a token what they don't have, be it in one channel. @throws token.scopeNotHeld (403) */
  const assertHeld = async (caller: Caller, scopes: readonly Permission[]): Promise<void> => {
    const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(caller)])
    const now = clock.now().getTime()
    const places = [undefined, ...authority.snapshot.channels.map(({ id }) => id)]
    const missing = scopes.filter(
      (scope) => !(grant && places.some((channelId) => authority.allows(grant, scope, channelId, now))),
    )
    if (missing.length === 0) return
    refusals.access(caller, missing[0]!, CREATE)
    throw tokenErrors.scopeNotHeld(`You lack ${missing.join(', ')}.`)
  }

  /** Makes it in the name of an account whose row is locked: their number is exact, and nobody is banned meanwhile. */
  const make = async (tx: Transaction, caller: Caller, userId: string, input: NewApiToken) => {
    const now = clock.now()
    if ((await countLivingApiTokens(tx, userId, now)) >= MOST_TOKENS) {
      throw tokenErrors.tooMany(`It can have ${MOST_TOKENS}.`)
    }
    const { expiresInSeconds: seconds = API_TOKEN_DEFAULT_S } = input
    const token = newApiToken()
    const row = await insertApiToken(tx, {
      id: newId(),
      hash: tokenHash(token),
      userId,
      createdBy: caller.userId,
      name: cleanLabel(input.name),
      scopes: inOrder(input.scopes),
      createdAt: now,
      expiresAt: seconds === null ? null : new Date(now.getTime() + seconds * 1000),
    })
    const made = toApiToken(row)
    const { scopes, expiresAt } = made
    await changes.owe(tx, { audit: [audit('token.created', actorOf(caller), row.id, { userId, scopes, expiresAt })] })
    return { ...made, token }
  }

  const end = async (tx: Transaction, caller: Caller, token: ApiTokenRow, by: 'user' | 'manager') => {
    const { id, userId } = token
    if (!(await revokeApiToken(tx, id, clock.now()))) throw tokenErrors.notFound()
    await changes.owe(tx, { audit: [audit('token.revoked', actorOf(caller), id, { userId, by })] })
    return { sessionId: id, userId } satisfies SessionRevocation
  }

  /** Whether it is their own, or that of a bot that they made; or that of a bot of others', which they manage. */
  const relationTo = async (caller: Caller, id: string) => {
    const found = await findLivingApiToken(db, id, clock.now())
    if (!found) throw tokenErrors.notFound()
    const own = found.token.userId === caller.userId || (found.kind === 'bot' && found.ownerId === caller.userId)
    if (own) return { token: found.token, own }
    if (found.kind === 'bot' && (await guard.allows(caller, 'bot.manage'))) return { token: found.token, own }
    throw tokenErrors.notFound()
  }

  return {
    /**
     * Makes a token, for oneself or for a bot that one manages. Whatever it was made for, at each use it can do no more
     * than its bearer may.
     * @throws token.scopeNotHeld, access.forbidden, member.notBelowYou (403), bot.notFound (404), token.tooMany,
     * bot.notAMember (409), request.invalid (422) for a name that can't be shown, and what the confirmation throws
     */
    async create(caller: Caller, input: NewApiToken): Promise<CreatedApiToken> {
      const { botId } = input
      await assertHeld(caller, input.scopes)
      // By itself: it may take a while, and locks nothing meanwhile.
      await db.transaction((tx) => confirmation.assert(tx, caller, input))
      const created =
        botId === undefined
          ? await db.transaction(async (tx) => {
              if (!(await lockMember(tx, caller.userId))) throw accessErrors.notAMember()
              return make(tx, caller, caller.userId, input)
            })
          : await administer(deps, { caller, route: CREATE, permission: 'bot.manage' }, async (tx, who) => {
              const { standing } = await manageBot(tx, who, botId)
              if (standing !== 'active') throw botErrors.notAMember()
              return make(tx, caller, botId, input)
            })
      await changes.settled()
      return created
    },

    /** One's own and those of one's bots; for who manages bots, those of all bots. Without those that have ended. */
    async list(caller: Caller, page: PageRequest): Promise<Page<ApiToken>> {
      const reach = { userId: caller.userId, allBots: await guard.allows(caller, 'bot.manage') }
      return pageById(await listApiTokens(db, reach, { now: clock.now(), page }), page.limit, toApiToken)
    },

    /** @throws token.notFound (404), also for other people's; member.notBelowYou (403) for a bot that stands higher */
    async remove(caller: Caller, id: string): Promise<void> {
      const { token, own } = await relationTo(caller, id)
      const revoked = own
        ? await db.transaction((tx) => end(tx, caller, token, 'user'))
        : await administer(deps, { caller, route: REMOVE, permission: 'bot.manage' }, async (tx, who) => {
            await manageBot(tx, who, token.userId)
            return end(tx, caller, token, 'manager')
          })
      await changes.settled({ revoked: [revoked] })
    },
  }
}

export type ApiTokens = ReturnType<typeof createApiTokens>

const toApiToken = (row: ApiTokenRow): ApiToken => ({
  id: row.id,
  name: row.name,
  scopes: row.scopes.filter(isPermission),
  userId: row.userId,
  createdBy: row.createdBy,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt?.toISOString() ?? null,
  lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
})
