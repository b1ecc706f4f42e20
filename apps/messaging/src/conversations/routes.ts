import {
  ChannelParams,
  Conversation,
  ConversationPage,
  ConversationPatch,
  NewConversation,
  PageQuery,
  ParticipantParams,
  pageLimit,
} from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { addParticipant, removeParticipant, renameGroup } from './groups.ts'
import {
  type ConversationDeps,
  closeConversation,
  getConversation,
  openConversation,
  pageConversations,
} from './service.ts'

const tags = ['Conversations']

export const conversationRoutes = (deps: ConversationDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .post(
      '/v1/dms',
      async ({ caller, body, status }) => {
        const { conversation, made } = await openConversation(deps, caller, body)
        return made ? status(201, conversation) : status(200, conversation)
      },
      {
        can: 'member',
        parse: 'json',
        body: NewConversation,
        response: { 200: Conversation, 201: Conversation },
        detail: {
          operationId: 'openConversation',
          summary: 'Open the conversation with one other person, or begin a group',
          tags,
          ...refusals({ 409: 'The group that was made with this nonce is one that the caller has left' }),
        },
      },
    )
    .get(
      '/v1/dms',
      ({ caller, query }) => pageConversations(deps, caller, { limit: pageLimit(query.limit), cursor: query.cursor }),
      {
        can: 'member',
        query: PageQuery,
        response: { 200: ConversationPage },
        detail: {
          operationId: 'listConversations',
          summary: 'List one’s conversations, the newest activity first',
          tags,
        },
      },
    )
    .get('/v1/dms/:channelId', ({ params }) => getConversation(deps, params.channelId), {
      can: 'channel.view',
      params: ChannelParams,
      response: { 200: Conversation },
      detail: { operationId: 'getConversation', summary: 'Read one conversation', tags },
    })
    .patch(
      '/v1/dms/:channelId',
      ({ caller, params, body }) => renameGroup(deps, caller, { id: params.channelId, name: body.name }),
      {
        can: 'message.send',
        parse: 'json',
        params: ChannelParams,
        body: ConversationPatch,
        response: { 200: Conversation },
        detail: {
          operationId: 'renameConversation',
          summary: 'Rename a group',
          tags,
          ...refusals({ 409: 'It is no group' }),
        },
      },
    )
    .delete(
      '/v1/dms/:channelId',
      async ({ caller, params, status }) => {
        await closeConversation(deps, caller, params.channelId)
        return status(204, undefined)
      },
      {
        can: 'channel.view',
        params: ChannelParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'closeConversation',
          summary: 'Take a conversation with one other person out of one’s list, until the next message',
          tags,
          ...refusals({ 409: 'It is a group: leave it instead' }),
        },
      },
    )
    .put(
      '/v1/dms/:channelId/participants/:userId',
      ({ caller, params }) => addParticipant(deps, caller, { id: params.channelId, userId: params.userId }),
      {
        can: 'message.send',
        params: ParticipantParams,
        response: { 200: Conversation },
        detail: {
          operationId: 'addParticipant',
          summary: 'Add a member to a group',
          tags,
          ...refusals({ 409: 'It is no group, or a full one' }),
        },
      },
    )
    .delete(
      '/v1/dms/:channelId/participants/:userId',
      async ({ caller, params, status }) => {
        await removeParticipant(deps, caller, { id: params.channelId, userId: params.userId })
        return status(204, undefined)
      },
      {
        can: 'channel.view',
        params: ParticipantParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'removeParticipant',
          summary: 'Leave a group, or as its owner remove somebody',
          tags,
          ...refusals({ 409: 'It is no group' }),
        },
      },
    )
