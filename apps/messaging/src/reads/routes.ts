import { ChannelParams, ReadMark, ReadState, UnreadOverview } from '@conntext/contracts'
import { type AccessOptions, access } from '@conntext/http'
import { Elysia } from 'elysia'
import { markRead, type ReadDeps, readUnread } from './service.ts'

const tags = ['Read states']

export const readRoutes = (deps: ReadDeps & { access: AccessOptions }) =>
  new Elysia({ normalize: false })
    .use(access(deps.access))
    .put(
      '/v1/channels/:channelId/read',
      ({ caller, params, body }) =>
        markRead(deps, { userId: caller.userId, channelId: params.channelId, seq: body.seq }),
      {
        can: 'message.history',
        parse: 'json',
        params: ChannelParams,
        body: ReadMark,
        response: { 200: ReadState },
        detail: {
          operationId: 'markRead',
          summary: 'Say how far one has read a channel: the mark only rises, on all one’s devices',
          tags,
        },
      },
    )
    .get('/v1/unread', ({ caller }) => readUnread(deps, caller), {
      can: 'member',
      response: { 200: UnreadOverview },
      detail: { operationId: 'getUnread', summary: 'What one has not read, channel by channel', tags },
    })
