import { IceServers } from '@conntext/contracts'
import { type AccessOptions, access, accessErrors, inScope } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { Elysia } from 'elysia'
import { type IceConfig, iceServersFor } from './servers.ts'

export const iceRoutes = (deps: { access: AccessOptions; ice: IceConfig; clock: Clock }) =>
  new Elysia({ normalize: false, prefix: '/v1/voice' }).use(access(deps.access)).get(
    '/ice-servers',
    ({ caller, set }) => {
      // They are a relay to use: for a token that is good for calls, and for nobody else's cache.
      if (!inScope(caller, 'voice.connect')) throw accessErrors.forbidden('This needs the scope voice.connect.')
      set.headers['cache-control'] = 'no-store'
      return iceServersFor(deps.ice, caller.userId, deps.clock.now())
    },
    {
      can: 'member',
      response: { 200: IceServers },
      detail: {
        operationId: 'getIceServers',
        summary: 'STUN and TURN servers, with credentials for a while',
        description: 'Ask before each call, and again where ICE is restarted after `expiresAt`.',
        tags: ['Calls'],
      },
    },
  )
