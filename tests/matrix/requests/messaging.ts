import type { Scene } from '../scene.ts'
import type { GoodRequests } from './good.ts'

export const THUMBS_UP = '👍'

const message = ({ channels, messages }: Scene) => ({
  channelId: channels.general.id,
  messageId: messages.general.id,
})

/** Messages, and what people do with them. */
export const messagingRequests: GoodRequests = {
  sendMessage: ({ channels, messages, name }) => ({
    path: { channelId: channels.general.id },
    body: { content: 'hello', nonce: name('nonce'), replyTo: messages.general.id, mediaIds: [] },
  }),
  listMessages: ({ channels }) => ({ path: { channelId: channels.general.id } }),
  getMessage: (scene) => ({ path: message(scene) }),
  editMessage: (scene) => ({ path: message(scene), body: { content: 'hello again' } }),
  deleteMessage: async (scene) => ({ path: await newMessage(scene) }),
  bulkDeleteMessages: async (scene) => {
    const { channelId, messageId } = await newMessage(scene)
    return { path: { channelId }, body: { messageIds: [messageId] } }
  },
  listRevisions: (scene) => ({ path: message(scene) }),

  addReaction: (scene) => ({ path: { ...message(scene), emoji: THUMBS_UP } }),
  removeOwnReaction: async (scene) => ({ path: await react(scene) }),
  removeReaction: async (scene) => ({ path: { ...(await react(scene)), userId: scene.owner.id } }),
  clearReactions: async (scene) => {
    const { channelId, messageId } = await react(scene)
    return { path: { channelId, messageId } }
  },
  listReactors: async (scene) => ({ path: await react(scene) }),

  pinMessage: (scene) => ({ path: message(scene) }),
  unpinMessage: async (scene) => {
    const path = message(scene)
    await scene.call('PUT', `${addressOf(path)}/pin`, { token: scene.owner.token })
    return { path }
  },
  listPins: ({ channels }) => ({ path: { channelId: channels.general.id } }),

  markRead: ({ channels }) => ({ path: { channelId: channels.general.id }, body: { seq: 1 } }),
  searchMessages: () => ({ query: { q: 'hello' } }),
}

type Address = { channelId: string; messageId: string }

const addressOf = ({ channelId, messageId }: Address): string => `/v1/channels/${channelId}/messages/${messageId}`

async function newMessage({ call, channels, owner }: Scene): Promise<Address> {
  const channelId = channels.general.id
  const body = { content: 'not for long' }
  const { id } = await call('POST', `/v1/channels/${channelId}/messages`, { token: owner.token, body })
  return { channelId, messageId: id }
}

/** A reaction of the owner's. */
async function react(scene: Scene) {
  const path = message(scene)
  await scene.call('PUT', `${addressOf(path)}/reactions/${encodeURIComponent(THUMBS_UP)}`, { token: scene.owner.token })
  return { ...path, emoji: THUMBS_UP }
}
