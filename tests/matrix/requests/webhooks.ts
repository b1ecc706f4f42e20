import type { Scene } from '../scene.ts'
import type { GoodRequests } from './good.ts'

type Made = { id: string; secret: string; channelId: string }

// As many as a channel has room for are made here before the oldest of them go.
const KEPT = 8

/** A channel for the webhooks of one operation, so that no other is in its way; and what is made there. */
const rooms = new WeakMap<Scene, Map<string, Promise<{ id: string; made: Made[] }>>>()

function roomOf(scene: Scene, operation: string) {
  const known = rooms.get(scene) ?? new Map<string, Promise<{ id: string; made: Made[] }>>()
  rooms.set(scene, known)
  const room = known.get(operation) ?? makeRoom(scene, operation)
  known.set(operation, room)
  return room
}

async function makeRoom({ call, owner }: Scene, operation: string) {
  const body = { name: `for ${operation}`, type: 'text' }
  const { id } = await call('POST', '/v1/channels', { token: owner.token, body })
  return { id, made: [] as Made[] }
}

/** The channel, with room for one more. */
async function withRoom(scene: Scene, operation: string): Promise<string> {
  const { call, owner } = scene
  const { id } = await roomOf(scene, operation)
  const token = owner.token
  const { items } = await call<{ items: Made[] }>('GET', `/v1/webhooks?channelId=${id}`, { token })
  if (items.length >= KEPT) {
    for (const one of items) await call('DELETE', `/v1/webhooks/${one.id}`, { token }).catch(() => undefined)
  }
  return id
}

async function newWebhook(scene: Scene, operation: string): Promise<Made> {
  const body = { channelId: await withRoom(scene, operation), name: 'Builds' }
  return scene.call<Made>('POST', '/v1/webhooks', { token: scene.owner.token, body })
}

/** One for many requests. */
async function webhook(scene: Scene, operation: string): Promise<Made> {
  const room = await roomOf(scene, operation)
  room.made[0] ??= await newWebhook(scene, operation)
  return room.made[0]
}

/** Webhooks, and what programs write by them. */
export const webhookRequests: GoodRequests = {
  createWebhook: async (scene) => ({
    body: { channelId: await withRoom(scene, 'createWebhook'), name: 'Builds', avatarId: null, mentionEveryone: false },
  }),
  listWebhooks: async (scene) => ({ query: { channelId: (await webhook(scene, 'listWebhooks')).channelId } }),
  getWebhook: async (scene) => ({ path: { webhookId: (await webhook(scene, 'getWebhook')).id } }),
  updateWebhook: async (scene) => ({
    path: { webhookId: (await webhook(scene, 'updateWebhook')).id },
    body: { name: 'Deploys', mentionEveryone: true },
  }),
  deleteWebhook: async (scene) => ({ path: { webhookId: (await newWebhook(scene, 'deleteWebhook')).id } }),
  rotateWebhookSecret: async (scene) => ({ path: { webhookId: (await webhook(scene, 'rotateWebhookSecret')).id } }),
  executeWebhook: async (scene) => {
    const { id: webhookId, secret } = await webhook(scene, 'executeWebhook')
    const body = { content: 'It works', username: 'Night shift', nonce: scene.name('nonce') }
    return { path: { webhookId, secret }, body }
  },
}
