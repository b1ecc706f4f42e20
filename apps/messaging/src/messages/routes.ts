import {
  BulkDeleted,
  BulkDeletion,
  ChannelParams,
  HistoryQuery,
  Message,
  MessagePage,
  MessageParams,
  MessagePatch,
  MessageRevisionPage,
  NewMessage,
  PageQuery,
} from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { deleteMessages } from './bulk-deletion.ts'
import { readHistory } from './history.ts'
import type { Sender } from './send.ts'
import { deleteMessage, editMessage, getMessage, type MessageDeps, readRevisions } from './service.ts'

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
    .get(
      '/v1/channels/:channelId/messages',
      ({ caller, params, query }) => readHistory(deps.db, caller.userId, params.channelId, query),
      {
        can: 'message.history',
        params: ChannelParams,
        query: HistoryQuery,
        response: { 200: MessagePage },
        detail: { operationId: 'listMessages', summary: 'Read the messages of a channel, in ascending order', tags },
      },
    )
    .get('/v1/channels/:channelId/messages/:messageId', ({ caller, params }) => getMessage(deps, caller, params), {
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
    .get(
      '/v1/channels/:channelId/messages/:messageId/revisions',
      ({ params, query }) => readRevisions(deps, params, query),
      {
        can: 'message.history',
        params: MessageParams,
        query: PageQuery,
        response: { 200: MessageRevisionPage },
        detail: {
          operationId: 'listRevisions',
          summary: 'What a message said before it was edited, the latest first',
          tags,
        },
      },
    )
    .post(
      '/v1/channels/:channelId/messages/bulk-delete',
      ({ caller, params, body }) =>
        deleteMessages(deps, caller, { channelId: params.channelId, messageIds: body.messageIds }),
      {
        can: 'message.manage',
        parse: 'json',
        params: ChannelParams,
        body: BulkDeletion,
        response: { 200: BulkDeleted },
        detail: { operationId: 'bulkDeleteMessages', summary: 'Delete several messages of a channel at once', tags },
      },
    )
