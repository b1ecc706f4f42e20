import { Raw } from '../send.ts'
import type { GoodRequests } from './good.ts'

/** Messages and files. */
export const messagingRequests: GoodRequests = {
  sendMessage: ({ channels, messages, name }) => ({
    path: { channelId: channels.general.id },
    body: { content: 'hello', nonce: name('nonce'), replyTo: messages.general.id, mediaIds: [] },
  }),
  listMessages: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  getMessage: ({ channels, messages }) => ({
    path: { channelId: channels.general.id, messageId: messages.general.id },
  }),
  editMessage: ({ channels, messages }) => ({
    path: { channelId: channels.general.id, messageId: messages.general.id },
    body: { content: 'hello again' },
  }),
  deleteMessage: async ({ call, channels, owner }) => {
    const channelId = channels.general.id
    const body = { content: 'not for long' }
    const { id } = await call('POST', `/v1/channels/${channelId}/messages`, { token: owner.token, body })
    return { path: { channelId, messageId: id } }
  },
  uploadMedia: () => ({
    query: { filename: 'a.txt' },
    body: new Raw('bytes'),
    headers: { 'content-type': 'application/octet-stream' },
  }),
  getMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  downloadMedia: ({ media }) => ({ path: { mediaId: media.kept.id } }),
  deleteMedia: async ({ upload, owner }) => ({ path: { mediaId: (await upload(owner.token)).id } }),
}
