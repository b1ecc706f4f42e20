import {
  Channel,
  ChannelOverride,
  ChannelOverridePage,
  ChannelPage,
  ChannelParams,
  ChannelPatch,
  NewChannel,
  NewChannelOverride,
  OverrideParams,
  PageQuery,
} from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { getOverride, listOverrides, removeOverride, setOverride } from './overrides.ts'
import { type ChannelDeps, createChannel, deleteChannel, getChannel, listChannels } from './service.ts'
import { updateChannel } from './update.ts'

const tags = ['Channels']

export const channelRoutes = (deps: ChannelDeps, options: AccessOptions) =>
  new Elysia({ normalize: false })
    .use(access(options))
    .get('/v1/channels', ({ caller, query }) => listChannels(deps, caller, query), {
      can: 'member',
      query: PageQuery,
      response: { 200: ChannelPage },
      detail: { operationId: 'listChannels', summary: 'The channels that one may see, in their order', tags },
    })
    .post('/v1/channels', async ({ caller, body, status }) => status(201, await createChannel(deps, caller, body)), {
      can: 'channel.manage',
      idempotent: true,
      parse: 'json',
      body: NewChannel,
      response: { 201: Channel },
      detail: { operationId: 'createChannel', summary: 'Make a channel or a category', tags },
    })
    .get('/v1/channels/:channelId', ({ params }) => getChannel(deps, params.channelId), {
      can: 'channel.view',
      params: ChannelParams,
      response: { 200: Channel },
      detail: { operationId: 'getChannel', summary: 'One channel', tags },
    })
    .patch(
      '/v1/channels/:channelId',
      ({ caller, params, body }) => updateChannel(deps, caller, params.channelId, body),
      {
        can: 'channel.manage',
        parse: 'json',
        params: ChannelParams,
        body: ChannelPatch,
        response: { 200: Channel },
        detail: {
          operationId: 'updateChannel',
          summary: 'Change or move a channel',
          description: 'To put it into another category, or into none, is to change the overrides that it leans on.',
          tags,
        },
      },
    )
    .delete(
      '/v1/channels/:channelId',
      async ({ caller, params, status }) => status(204, await deleteChannel(deps, caller, params.channelId)),
      {
        can: 'channel.manage',
        params: ChannelParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'deleteChannel', summary: 'Delete a channel with what it holds', tags },
      },
    )
    .get('/v1/channels/:channelId/overrides', ({ params }) => listOverrides(deps, params.channelId), {
      can: 'channel.manage',
      params: ChannelParams,
      response: { 200: ChannelOverridePage },
      detail: { operationId: 'listOverrides', summary: 'What a channel allows and denies whom', tags },
    })
    .get('/v1/channels/:channelId/overrides/:targetId', ({ params }) => getOverride(deps, params), {
      can: 'channel.manage',
      params: OverrideParams,
      response: { 200: ChannelOverride },
      detail: { operationId: 'getOverride', summary: 'What a channel allows and denies a role or a member', tags },
    })
    .put(
      '/v1/channels/:channelId/overrides/:targetId',
      ({ caller, params, body }) => setOverride(deps, caller, params, body),
      {
        can: 'channel.manage',
        parse: 'json',
        params: OverrideParams,
        body: NewChannelOverride,
        response: { 200: ChannelOverride },
        detail: { operationId: 'setOverride', summary: 'Allow and deny permissions in a channel', tags },
      },
    )
    .delete(
      '/v1/channels/:channelId/overrides/:targetId',
      async ({ caller, params, status }) => status(204, await removeOverride(deps, caller, params)),
      {
        can: 'channel.manage',
        params: OverrideParams,
        response: { 204: Type.Void() },
        detail: { operationId: 'removeOverride', summary: 'Let the general permissions apply again', tags },
      },
    )
