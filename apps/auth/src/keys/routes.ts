import { JsonWebKeySet } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { type AccessOptions, access } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { Elysia } from 'elysia'
import { jsonWebKeySet } from './access-tokens.ts'

export const keyRoutes = (options: AccessOptions, { db, clock }: { db: ServerDetails; clock: Clock }) =>
  new Elysia({ normalize: false }).use(access(options)).get(
    '/.well-known/jwks.json',
    ({ set }) => {
      set.headers['cache-control'] = 'public, max-age=300'
      return jsonWebKeySet(db, clock.now())
    },
    {
      public: true,
      response: { 200: JsonWebKeySet },
      detail: {
        operationId: 'getKeys',
        summary: 'The public keys that access tokens are verified with',
        tags: ['Authentication'],
      },
    },
  )
