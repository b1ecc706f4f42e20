import { ChannelParams, MessageParams, PageQuery, PinPage } from '@conntext/contracts'
import { type AccessOptions, access, refusals } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { type PinDeps, pinMessage, readPins, unpinMessage } from './service.ts'

const tags = ['Pins']

export const pinRoutes = (deps: PinDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .put(
      '/v1/channels/:channelId/messages/:messageId/pin',
      async ({ caller, params, status }) => {
        await pinMessage(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'message.pin',
        params: MessageParams,
        response: { 204: Type.Void() },
        detail: {
          operationId: 'pinMessage',
          summary: 'Pin a message',
          tags,
          ...refusals({ 409: 'The channel has as many pins as it takes, or the message is the server’s own' }),
        },
      },
    )
    .delete(
      '/v1/channels/:channelId/messages/:messageId/pin',
      async ({ caller, params, status }) => {
        await unpinMessage(deps, caller, params)
        return status(204, undefined)
      },
      {
        can: 'message.pin',
        params: MessageParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'unpinMessage', summary: 'Take a pin off', tags },
      },
    )
    .get(
      '/v1/channels/:channelId/pins',
      ({ caller, params, query }) => readPins(deps, caller.userId, params.channelId, query),
      {
        can: 'message.history',
        params: ChannelParams,
        query: PageQuery,
        response: { 200: PinPage },
        detail: { operationId: 'listPins', summary: 'The pinned messages of a channel, the newest pin first', tags },
      },
    )
