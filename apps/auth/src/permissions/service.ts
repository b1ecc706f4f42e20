import {
  permissions as catalogue,
  type EffectivePermissions,
  type EffectiveQuery,
  type Grant,
  permissionNames,
} from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { memberErrors } from '../members/errors.ts'
import type { Refusals } from '../refusals.ts'

type Dependencies = { guard: Guard; clock: Clock; refusals: Refusals }

export function createPermissions({ guard, clock, refusals }: Dependencies) {
  /** One's own within the scopes of one's token; others' as they are when they log in. */
  const grantFor = async (caller: Caller, userId: string): Promise<Grant | null> => {
    if (userId === caller.userId) return guard.grantOf(caller)
    if (await guard.allows(caller, 'role.manage')) return guard.grant(userId)
    refusals.access(caller, 'role.manage', 'GET /v1/permissions/effective')
    throw accessErrors.forbidden('Asking about others needs the permission role.manage.')
  }

  return {
    catalogue: () => ({
      items: permissionNames.map((name) => ({ name, scope: catalogue[name].scope, title: catalogue[name].title })),
    }),

    /**
     * What somebody may do, on the server or in a channel, and what decided each permission. About others only for
     * those who manage roles; also about who has left or is banned, since that explains it.
     * @throws channel.notFound (404) also for a channel that the caller can't see; member.notFound (404)
     */
    async effective(caller: Caller, query: EffectiveQuery): Promise<EffectivePermissions> {
      const { channelId, userId = caller.userId } = query
      const grant = await grantFor(caller, userId)
      if (channelId !== undefined && !(await guard.allows(caller, 'channel.view', channelId))) {
        throw channelNotFound()
      }
      if (!grant || grant.standing === 'deleted') throw memberErrors.notFound()
      const authority = await guard.authority()
      const decisions = authority.explain(grant, channelId, clock.now().getTime())
      const permissions = decisions.filter((one) => one.allowed).map((one) => one.permission)
      return { userId, channelId: channelId ?? null, permissions, decisions }
    },
  }
}

export type Permissions = ReturnType<typeof createPermissions>
