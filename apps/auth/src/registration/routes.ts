import { Authenticated, Registration } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Elysia } from 'elysia'
import type { RegistrationService } from './service.ts'

export const registrationRoutes = (options: AccessOptions, registration: RegistrationService) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .post(
      '/v1/auth/register',
      async ({ body, visitor, status }) => status(201, await registration.register(body, visitor)),
      {
        public: true,
        parse: 'json',
        body: Registration,
        response: { 201: Authenticated },
        detail: {
          operationId: 'register',
          summary: 'Make an account and log in',
          description: 'With the setup code, the first account becomes the owner of the server.',
          tags: ['Authentication'],
          ...refusals({
            403: 'The server takes no new members, or only by invitation, or the setup code is wrong',
            404: 'There is no such invite',
            410: 'The invite has expired, or has been used as often as it may be',
          }),
        },
      },
    )
