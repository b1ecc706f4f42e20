import { afterAll, beforeAll, expect, test } from 'bun:test'
import { GatewayClient, listPresences, type Presence, unwrap } from '@conntext/sdk'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { gather, type Person } from './conversation/people.ts'

let server: Deployment
let scene: Awaited<ReturnType<typeof gather>>

beforeAll(async () => {
  server = await startDeployment({})
  scene = await gather(server.url, SETUP_CODE)
}, 120_000)

afterAll(async () => {
  scene?.owner.gateway.close()
  scene?.member.gateway.close()
  await server?.[Symbol.asyncDispose]()
}, 120_000)

/** How somebody was seen by another one, in order. */
const seen = ({ events }: Person, { id }: Pick<Person, 'id'>): Presence[] =>
  events
    .filter((event) => event.stream === 'server')
    .flatMap((event) => (event.t === 'presence.updated' ? event.d.presences : []))
    .filter(({ userId }) => userId === id)

/** Another device of somebody's, whose connection can be cut. */
function device({ api }: Person) {
  const sockets: WebSocket[] = []
  class Cut extends WebSocket {
    constructor(url: string | URL) {
      super(url)
      sockets.push(this)
    }
  }
  const gateway = new GatewayClient({
    baseUrl: server.url,
    token: () => api.accessToken(),
    WebSocket: Cut as typeof WebSocket,
    reconnect: { firstMs: 10, longestMs: 100 },
  })
  return { gateway, cut: () => sockets.at(-1)!.close(4000) }
}

test('what a client says of its presence holds over reconnects, and nobody sees another in between', async () => {
  const { owner, member } = scene
  const phone = device(member)
  const first = phone.gateway.setPresence({ status: 'dnd', customStatus: { text: 'writing', emoji: '✍️' } })
  await phone.gateway.connect()
  expect(await first).toMatchObject({ userId: member.id, status: 'dnd' })
  await eventually(() => seen(owner, member).at(-1)?.customStatus?.text === 'writing')
  const before = seen(owner, member).length
  for (let time = 0; time < 3; time += 1) {
    const back = new Promise((resolve) => phone.gateway.on('ready', resolve))
    phone.cut()
    expect(await back).toMatchObject({ presence: { status: 'dnd', customStatus: { text: 'writing' } } })
  }
  await phone.gateway.setPresence({ status: 'invisible' })
  await eventually(() => seen(owner, member).at(-1)?.status === 'offline')
  expect(seen(owner, member).length).toBe(before + 1)
  // Of several gateways another one than hers may answer, which hears of it by itself.
  const { items, counts } = await eventually(async () => {
    const page = await unwrap(listPresences({ client: owner.api.client }))
    return page.counts.total === 1 ? page : undefined
  })
  expect(items.map(({ userId }) => userId)).toEqual([owner.id])
  expect(counts).toEqual({ total: 1, online: 1, idle: 0, dnd: 0 })
  await phone.gateway.setPresence({ status: 'online', customStatus: null })
  await eventually(() => seen(owner, member).at(-1)?.status === 'online')
  phone.gateway.close()
})

test('who is typing is told to who sees the channel', async () => {
  const { owner, member, channel } = scene
  for (let key = 0; key < 10; key += 1) member.gateway.typing(channel.id)
  const typing = () => owner.events.flatMap((event) => (event.t === 'typing.started' ? [event.d] : []))
  await eventually(() => typing().length > 0)
  await member.gateway.send({ channelId: channel.id, content: 'there' })
  await eventually(() => owner.events.some((event) => event.t === 'message.created'))
  expect(typing()).toEqual([{ channelId: channel.id, userId: member.id, expiresAt: expect.any(String) }])
})
