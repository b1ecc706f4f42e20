import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Deployment, eventually, SETUP_CODE, startDeployment, topology } from '@conntext/testing'
import { apiAt, type Person } from './http.ts'
import { enter, type Socket } from './websocket/client.ts'

let server: Deployment
let olga: Person
let maxim: Person
let channelId: string

type Call = { id: string; endedAt: string | null; ending: string | null; peakParticipants: number; seconds: number }
type Participation = { userId: string; leftAt: string | null; ending: string | null }

beforeAll(async () => {
  server = await startDeployment({ CONNTEXT_RATE_CREDENTIALS: '0' })
  olga = await register('olga', { setupCode: SETUP_CODE })
  await call(olga, 'PATCH', 'server', { registrationMode: 'open' })
  maxim = await register('maxim')
  channelId = (await call<{ id: string }>(olga, 'POST', 'channels', { name: 'lounge', type: 'voice' })).id
}, 120_000)

afterAll(() => server?.[Symbol.asyncDispose](), 60_000)

const { call, register } = apiAt(() => server.url)

// Calls begin once the media worker is there.
const join = (socket: Socket) =>
  eventually(async () => {
    const reply = await socket.ask({ op: 'voice.join', channelId, rtpCapabilities: { codecs: [] } })
    return reply.ok || undefined
  }, 30_000)

const calls = async (as: Person) => (await call<{ items: Call[] }>(as, 'GET', `calls?channelId=${channelId}`)).items
const participations = async (id: string) =>
  (await call<{ items: Participation[] }>(olga, 'GET', `calls/${id}/participations`)).items

describe('calls', () => {
  test('are history: made, left, listed, audited, exported', async () => {
    const [one, two] = [await enter(server.url, olga.token), await enter(server.url, maxim.token)]
    await join(one)
    await join(two)
    const [open] = await eventually(async () => {
      const found = await calls(maxim)
      return found[0]?.peakParticipants === 2 ? found : undefined
    })
    expect(open).toMatchObject({ endedAt: null, ending: null })
    await two.ask({ op: 'voice.leave' })
    await one.ask({ op: 'voice.leave' })
    const over = await eventually(async () => {
      const found = await calls(olga)
      return found[0]?.endedAt ? found : undefined
    })
    expect(over).toMatchObject([{ id: open!.id, ending: 'left', peakParticipants: 2 }])
    expect((await participations(open!.id)).map(({ userId, ending }) => ({ userId, ending }))).toEqual([
      { userId: olga.id, ending: 'left' },
      { userId: maxim.id, ending: 'left' },
    ])
    await eventually(async () => {
      const path = `audit/events?targetId=${open!.id}`
      const { items } = await call<{ items: { action: string }[] }>(olga, 'GET', path)
      return items.length === 2 && items.every(({ action }) => action.startsWith('call.'))
    }, 20_000)
    const copy = await call<{ calls: { callId: string }[] }>(maxim, 'GET', 'users/@me/export')
    expect(copy.calls.map(({ callId }) => callId)).toEqual([open!.id])
    for (const socket of [one, two]) socket.close()
  }, 90_000)

  test('of a node that is killed are over since it was last heard of', async () => {
    const socket = await enter(server.url, olga.token)
    await join(socket)
    const before = await eventually(async () => (await calls(olga)).find(({ endedAt }) => endedAt === null))
    if (topology === 'split') {
      for (const { name, pid } of server.processes) if (name.startsWith('realtime')) process.kill(pid, 'SIGKILL')
    } else {
      await server.kill('SIGKILL')
      await server.restart()
    }
    const after = await eventually(async () => {
      const found = await calls(olga).catch(() => [])
      return found.find(({ id, endedAt }) => id === before.id && endedAt !== null)
    }, 100_000)
    expect(after.ending).toBe('unheard')
    expect((await calls(olga)).every(({ endedAt }) => endedAt !== null)).toBeTrue()
    expect((await participations(before.id)).every(({ leftAt }) => leftAt !== null)).toBeTrue()
    socket.close()
  }, 180_000)
})
