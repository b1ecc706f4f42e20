import { IdParams, OwnUser, User, UserDeletion, UserExport, UserPatch } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { UserDeletions } from './deletion.ts'
import type { UserExports } from './export.ts'
import type { Users } from './service.ts'
import { shownTo } from './users.ts'

const tags = ['Users']
const confirmation = {
  403: 'The password or the code is missing or wrong',
  429: 'Too many wrong passwords or codes',
}

type Parts = { users: Users; deletions: UserDeletions; exports: UserExports }

export const userRoutes = (options: AccessOptions, { users, deletions, exports }: Parts) =>
  new Elysia({ prefix: '/v1/users', normalize: false })
    .use(access(options))
    .get('/@me', async ({ caller }) => shownTo(caller, await users.own(caller.userId)), {
      can: 'self',
      response: { 200: OwnUser },
      detail: {
        operationId: 'getOwnUser',
        summary: 'Your account',
        description: 'Also for who has left or still lacks the second factor that the server asks for.',
        tags,
      },
    })
    .patch('/@me', ({ caller, body }) => users.update(caller, body), {
      can: 'account',
      parse: 'json',
      body: UserPatch,
      response: { 200: OwnUser },
      detail: {
        operationId: 'updateOwnUser',
        summary: 'Change your account',
        description:
          'A picture is an upload of yours: PNG, JPEG, WebP or GIF of up to 5 MiB, which every member may see from then on. ' +
          'A status replaces the one before. Another email address takes your password or a code.',
        tags,
        ...refusals({
          ...confirmation,
          404: 'There is no such file of yours',
          409: 'Another account has this email address',
        }),
      },
    })
    .delete(
      '/@me',
      async ({ caller, body, status }) => {
        await deletions.remove(caller, body)
        return status(204, undefined)
      },
      {
        can: 'account',
        parse: 'json',
        body: UserDeletion,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteOwnUser',
          summary: 'Delete your account for good, with your messages or without',
          description:
            'What you keep stays without your name. Your bots are deleted as well. Nothing of it can be undone.',
          tags,
          ...refusals({ ...confirmation, 409: 'The server is yours: hand it over first' }),
        },
      },
    )
    .get(
      '/@me/export',
      async ({ caller }) =>
        new Response(await exports.take(caller), {
          headers: {
            'content-type': 'application/json',
            'content-disposition': 'attachment; filename="conntext-account.json"',
            'cache-control': 'no-store',
          },
        }),
      {
        can: 'account',
        response: { 200: UserExport },
        detail: {
          operationId: 'exportOwnUser',
          summary: 'Take a copy of what the server holds of your account',
          description:
            'With all that you have written, wherever that was, and what is known of your files. Without secrets. Each file ' +
            'is to be had by its id.',
          tags,
        },
      },
    )
    .get('/:id', ({ params }) => users.get(params.id), {
      can: 'member',
      params: IdParams,
      response: { 200: User },
      detail: {
        operationId: 'getUser',
        summary: 'A user',
        description: 'Of a deleted account, whose messages may still be there, only the id is told.',
        tags,
      },
    })
