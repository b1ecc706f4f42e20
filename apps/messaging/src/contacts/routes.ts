import { BlockPage, BlockParams, ContactSettings, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { blockUser, type ContactDeps, changeSettings, pageBlocks, readSettings, unblockUser } from './service.ts'

const tags = ['Conversations']

export const contactRoutes = (deps: ContactDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .get('/v1/blocks', ({ caller, query }) => pageBlocks(deps, caller, query), {
      can: 'account',
      query: PageQuery,
      response: { 200: BlockPage },
      detail: { operationId: 'listBlocks', summary: 'Whom one has blocked', tags },
    })
    .put(
      '/v1/blocks/:userId',
      async ({ caller, params, status }) => {
        await blockUser(deps, caller, params.userId)
        return status(204, undefined)
      },
      {
        can: 'account',
        params: BlockParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'blockUser',
          summary: 'Block somebody: no direct messages between the two, and they add one to no group',
          tags,
          ...refusals({ 409: 'As many are blocked as can be' }),
        },
      },
    )
    .delete(
      '/v1/blocks/:userId',
      async ({ caller, params, status }) => {
        await unblockUser(deps, caller, params.userId)
        return status(204, undefined)
      },
      {
        can: 'account',
        params: BlockParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'unblockUser', summary: 'Take a block back', tags },
      },
    )
    .get('/v1/dms/settings', ({ caller }) => readSettings(deps, caller), {
      can: 'account',
      response: { 200: ContactSettings },
      detail: { operationId: 'getContactSettings', summary: 'Who may begin conversations with one', tags },
    })
    .patch('/v1/dms/settings', ({ caller, body }) => changeSettings(deps, caller, body), {
      can: 'account',
      parse: 'json',
      body: ContactSettings,
      response: { 200: ContactSettings },
      detail: { operationId: 'updateContactSettings', summary: 'Say who may begin conversations with one', tags },
    })
