import { MessageParams, PageQuery, ReactionParams, ReactorPage, ReactorParams } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import {
  addReaction,
  clearReactions,
  type ReactionDeps,
  readReactors,
  removeOwnReaction,
  removeReaction,
} from './service.ts'

const tags = ['Reactions']

export const reactionRoutes = (deps: ReactionDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .put(
      '/v1/channels/:channelId/messages/:messageId/reactions/:emoji',
      async ({ caller, params, status }) => {
        await addReaction(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'reaction.add',
        params: ReactionParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'addReaction',
          summary: 'React to a message',
          tags,
          ...refusals({ 409: 'The message has as many different emoji as it takes' }),
        },
      },
    )
    .delete(
      '/v1/channels/:channelId/messages/:messageId/reactions/:emoji',
      async ({ caller, params, status }) => {
        await removeOwnReaction(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'channel.view',
        params: ReactionParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'removeOwnReaction', summary: 'Take one’s own reaction back', tags },
      },
    )
    .get(
      '/v1/channels/:channelId/messages/:messageId/reactions/:emoji',
      ({ params, query }) => readReactors(deps, params, query),
      {
        can: 'message.history',
        params: ReactionParams,
        query: PageQuery,
        response: { 200: ReactorPage },
        detail: { operationId: 'listReactors', summary: 'Who reacted with an emoji', tags },
      },
    )
    .delete(
      '/v1/channels/:channelId/messages/:messageId/reactions/:emoji/:userId',
      async ({ caller, params, status }) => {
        await removeReaction(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'message.manage',
        params: ReactorParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'removeReaction', summary: 'Take somebody’s reaction away', tags },
      },
    )
    .delete(
      '/v1/channels/:channelId/messages/:messageId/reactions',
      async ({ caller, params, status }) => {
        await clearReactions(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'message.manage',
        params: MessageParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'clearReactions', summary: 'Take all reactions off a message', tags },
      },
    )
