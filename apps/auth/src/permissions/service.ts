import {
  permissions as catalogue,
  type EffectivePermissions,
  type EffectiveQuery,
  permissionNames,
} from '@conntext/contracts'
import { accessErrors, type Caller, channelNotFound, type Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { memberErrors } from '../members/errors.ts'
import type { Refusals } from '../refusals.ts'

type Dependencies = { guard: Guard; clock: Clock; refusals: Refusals }

export function createPermissions({ guard, clock, refusals }: Dependencies) {
  return {
    catalogue: () => ({
      items: permissionNames.map((name) => ({ name, scope: catalogue[name].scope, title: catalogue[name].title })),
    }),

    /**
     * What a member may do, on the server or in a channel. About others only for those who manage roles.
     * @throws channel.notFound (404) also for a channel that the caller can't see; member.notFound (404)
     */
    async effective(caller: Caller, query: EffectiveQuery): Promise<EffectivePermissions> {
      const { channelId, userId = caller.userId } = query
      if (userId !== caller.userId && !(await guard.allows(caller, 'role.manage'))) {
        refusals.access(caller, 'role.manage', 'GET /v1/permissions/effective')
        throw accessErrors.forbidden('Asking about others needs the permission role.manage.')
      }
      if (channelId !== undefined && !(await guard.allows(caller, 'channel.view', channelId))) {
        throw channelNotFound()
      }
      const [authority, grant] = await Promise.all([guard.authority(), guard.grant(userId)])
      if (grant?.standing !== 'active') throw memberErrors.notFound()
      const permissions = authority.effective(grant, channelId, clock.now().getTime())
      return { userId, channelId: channelId ?? null, permissions }
    },
  }
}

export type Permissions = ReturnType<typeof createPermissions>
