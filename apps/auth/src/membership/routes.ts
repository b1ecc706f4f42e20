import { JoinRequest, Member } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Membership } from './service.ts'

const tags = ['Members']

export const membershipRoutes = (options: AccessOptions, membership: Membership) =>
  new Elysia({ prefix: '/v1/members', normalize: false })
    .use(access(options))
    .put('/@me', ({ caller, body }) => membership.joinAgain(caller, body), {
      can: 'account',
      parse: 'json',
      body: JoinRequest,
      response: { 200: Member },
      detail: {
        operationId: 'joinAgain',
        summary: 'Become a member again, after having left or having been removed',
        tags,
        ...refusals({
          403: 'The server takes no members, or only by invitation',
          404: 'There is no such invite',
          409: 'You are a member',
          410: 'The invite has expired, or has been used as often as it may be',
        }),
      },
    })
    .delete(
      '/@me',
      async ({ caller, status }) => {
        await membership.leave(caller)
        return status(204, undefined)
      },
      {
        can: 'account',
        response: { 204: Type.Void() },
        detail: {
          operationId: 'leaveServer',
          summary: 'Leave the server, keeping the account',
          tags,
          ...refusals({ 409: 'The owner hands the server over first' }),
        },
      },
    )
