import { Bot, BotPage, BotPatch, IdParams, NewBot, PageQuery } from '@conntext/contracts'
import { type AccessOptions, access, pageRequest, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Bots } from './service.ts'

const tags = ['Bots']
const can = 'bot.manage'
const higher = { 403: 'The permission bot.manage is missing, or the bot stands as high as you, or higher' }
const taken = { 409: 'Another account has this user name, or one that looks like it' }

export const botRoutes = (options: AccessOptions, bots: Bots) =>
  new Elysia({ prefix: '/v1/bots', normalize: false })
    .use(access(options))
    .get('', ({ query }) => bots.list(pageRequest(query)), {
      can,
      query: PageQuery,
      response: { 200: BotPage },
      detail: { operationId: 'listBots', summary: 'The bots, in the order of their making', tags },
    })
    .post('', async ({ caller, body, status }) => status(201, await bots.create(caller, body)), {
      can,
      idempotent: true,
      parse: 'json',
      body: NewBot,
      response: { 201: Bot },
      detail: {
        operationId: 'createBot',
        summary: 'Make a bot: a member without a password, which comes by API tokens alone',
        tags,
        ...refusals(taken),
      },
    })
    .patch('/:id', ({ caller, params, body }) => bots.update(caller, params.id, body), {
      can,
      parse: 'json',
      params: IdParams,
      body: BotPatch,
      response: { 200: Bot },
      detail: { operationId: 'updateBot', summary: 'Change a bot', tags, ...refusals({ ...higher, ...taken }) },
    })
    .delete(
      '/:id',
      async ({ caller, params, status }) => {
        await bots.remove(caller, params.id)
        return status(204, undefined)
      },
      {
        can,
        params: IdParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteBot',
          summary: 'Delete a bot: its tokens end, its messages stay',
          tags,
          ...refusals(higher),
        },
      },
    )
