import {
  ChannelParams,
  HistoryQuery,
  Message,
  MessagePage,
  MessageParams,
  MessagePatch,
  NewMessage,
} from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { readHistory } from './history.ts'
import type { Sender } from './send.ts'
import { deleteMessage, editMessage, getMessage, type MessageDeps } from './service.ts'

const tags = ['Messages']

export const messageRoutes = (deps: MessageDeps & { sender: Sender; access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .post(
      '/v1/channels/:channelId/messages',
      async ({ caller, params, body, status }) => status(201, await deps.sender.send(caller, params.channelId, body)),
      {
        can: 'message.send',
        parse: 'json',
        params: ChannelParams,
        body: NewMessage,
        response: { 201: Message },
        detail: { operationId: 'sendMessage', summary: 'Send a message', tags },
      },
    )
    .get('/v1/channels/:channelId/messages', ({ params, query }) => readHistory(deps.db, params.channelId, query), {
      can: 'message.history',
      params: ChannelParams,
      query: HistoryQuery,
      response: { 200: MessagePage },
      detail: { operationId: 'listMessages', summary: 'Read the messages of a channel, in ascending order', tags },
    })
    .get('/v1/channels/:channelId/messages/:messageId', ({ params }) => getMessage(deps, params), {
      can: 'message.history',
      params: MessageParams,
      response: { 200: Message },
      detail: { operationId: 'getMessage', summary: 'Read one message', tags },
    })
    .patch(
      '/v1/channels/:channelId/messages/:messageId',
      ({ caller, params, body }) => editMessage(deps, caller, params, body.content),
      {
        can: 'message.send',
        parse: 'json',
        params: MessageParams,
        body: MessagePatch,
        response: { 200: Message },
        detail: { operationId: 'editMessage', summary: 'Edit a message of one’s own', tags },
      },
    )
    .delete(
      '/v1/channels/:channelId/messages/:messageId',
      async ({ caller, params, status }) => {
        await deleteMessage(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'channel.view',
        params: MessageParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'deleteMessage',
          summary: 'Delete a message: one’s own, or with message.manage anybody’s',
          tags,
        },
      },
    )
