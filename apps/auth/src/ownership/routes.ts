import { ConfirmationBody, IdParams } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Ownership } from './service.ts'

export const ownershipRoutes = (options: AccessOptions, ownership: Ownership) =>
  new Elysia({ prefix: '/v1/members', normalize: false }).use(access(options)).post(
    '/:id/ownership',
    async ({ caller, params, body, status }) => {
      await ownership.transfer(caller, params.id, body)
      return status(204, undefined)
    },
    {
      can: 'account',
      parse: 'json',
      params: IdParams,
      body: ConfirmationBody,
      response: { 204: Type.Void() },
      detail: {
        operationId: 'transferOwnership',
        summary: 'Hand the server over to a member',
        description: "The owner's to do, who has to prove that it is still them, and who keeps their roles.",
        tags: ['Members'],
        ...refusals({
          403: 'Only the owner can, with their password or a code',
          404: 'There is no such member',
          409: 'They are the owner already, or cannot be',
        }),
      },
    },
  )
