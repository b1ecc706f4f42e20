import { eventually } from '@conntext/testing'
import { enter, type Socket } from '../../websocket/client.ts'
import type { Scene } from '../scene.ts'
import type { GoodRequests } from './good.ts'

const sockets = new WeakMap<Scene, Promise<Socket>>()

/** Calls, and what moderators do in them. */
export const callRequests: GoodRequests = {
  getCall: ({ channels }) => ({ path: { channelId: channels.voice.id } }),
  declineCall: ({ channels }) => ({ path: { channelId: channels.voice.id } }),
  listCalls: ({ channels }) => ({ query: { channelId: channels.voice.id, userId: '@me' } }),
  getPastCall: async (scene) => ({ path: { callId: await pastCall(scene) } }),
  listCallParticipations: async (scene) => ({ path: { callId: await pastCall(scene) } }),
  muteParticipant: async (scene) => ({ path: await participant(scene) }),
  unmuteParticipant: async (scene) => ({ path: await participant(scene) }),
  deafenParticipant: async (scene) => ({ path: await participant(scene) }),
  undeafenParticipant: async (scene) => ({ path: await participant(scene) }),
  moveParticipant: async (scene) => {
    const { call, name, owner } = scene
    const body = { name: name('voice'), type: 'voice' }
    const { id } = await call('POST', '/v1/channels', { token: owner.token, body })
    return { path: await participant(scene), body: { channelId: id } }
  },
  disconnectParticipant: async (scene) => ({ path: await participant(scene) }),
}

/** A call that is known of by now. */
async function pastCall(scene: Scene): Promise<string> {
  const { channelId } = await participant(scene)
  const { call, owner } = scene
  const path = `/v1/calls?channelId=${channelId}`
  return eventually(async () => {
    const { items } = await call<{ items: { id: string }[] }>('GET', path, { token: owner.token })
    return items[0]?.id
  })
}

/** Somebody who is in the call by now. */
async function participant(scene: Scene) {
  const { channels, member } = scene
  const channelId = channels.voice.id
  // Who is there already needn't join again: an account may so often only. Calls begin once the media worker is there.
  await eventually(async () => {
    const socket = await connected(scene)
    if (await isThere(scene)) return true
    await socket.ask({ op: 'voice.join', channelId, rtpCapabilities: { codecs: [] } })
    return isThere(scene)
  }, 30_000)
  return { channelId, userId: member.id }
}

async function isThere({ call, channels, member, owner }: Scene): Promise<boolean> {
  const path = `/v1/channels/${channels.voice.id}/call`
  const { participants } = await call<{ participants: { userId: string }[] }>('GET', path, { token: owner.token })
  return participants.some(({ userId }) => userId === member.id)
}

const BEAT_MS = 5_000

/** One connection for all, which says that it lives as long as it does, and has the person's newest token. */
async function connected(scene: Scene): Promise<Socket> {
  const before = sockets.get(scene)
  if (before && (await before).open) return before
  const opening = enter(scene.server.url, scene.member.token).then((socket) => {
    const beat = setInterval(() => {
      if (!socket.open) return clearInterval(beat)
      socket.send({ op: 'heartbeat' })
      socket.send({ op: 'refresh', token: scene.member.token })
    }, BEAT_MS)
    beat.unref()
    return socket
  })
  sockets.set(scene, opening)
  return opening
}
