import { auditFor, type Confirmation as Given, type Identity, type OidcExchange } from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller } from '@conntext/http'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import { lockOwnUser, lockUser } from '../users/queries.ts'
import type { Accounts } from './accounts.ts'
import { oidcErrors } from './errors.ts'
import type { OidcLogin } from './login.ts'
import { deleteIdentity, hasWayIn, listIdentities } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  changes: Changes
  confirmation: Confirmation
  accounts: Accounts
  login: OidcLogin
}

/** Who somebody is at the providers: at each, one at most. */
export function createIdentities({ db, changes, confirmation, accounts, login }: Dependencies) {
  const list = async (userId: string): Promise<Identity[]> =>
    (await listIdentities(db, userId)).map((row) => ({
      ...row,
      createdAt: row.createdAt.toISOString(),
      lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    }))

  return {
    async list(caller: Caller): Promise<{ items: Identity[] }> {
      return { items: await list(caller.userId) }
    },

    /**
     * Links the account to whom the code of a link stands for.
     * @throws oidc.codeInvalid (401), .providerNotFound (404), .identityTaken, .alreadyLinked (409)
     */
    async link(caller: Caller, input: OidcExchange): Promise<Identity> {
      const who = await login.takeLink(caller, input)
      const linking = db.transaction(async (tx) => {
        if (!(await lockOwnUser(tx, caller.userId))) throw accessErrors.unauthenticated()
        return accounts.link(tx, who, caller.userId, actorOf(caller))
      })
      const { id } = await linking.catch((error: unknown) => {
        // Of two accounts that ask for one person at once, one gets them.
        throw isUniqueViolation(error, 'identities_subject') ? oidcErrors.identityTaken() : error
      })
      await changes.settled()
      return (await list(caller.userId)).find((identity) => identity.id === id)!
    },

    /**
     * @throws oidc.identityNotFound (404), also for other people's; oidc.lastWayIn (409); what `Confirmation.assert` throws
     */
    async unlink(caller: Caller, id: string, given: Given): Promise<void> {
      const { userId } = caller
      await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, given)
        await lockUser(tx, userId)
        const provider = await deleteIdentity(tx, { id, userId })
        if (provider === undefined) throw oidcErrors.identityNotFound()
        if (!(await hasWayIn(tx, userId))) throw oidcErrors.lastWayIn()
        await changes.owe(tx, { audit: [audit('identity.unlinked', actorOf(caller), userId, { provider })] })
      })
      await changes.settled()
    },
  }
}

export type Identities = ReturnType<typeof createIdentities>
