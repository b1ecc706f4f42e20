import { afterAll, beforeAll, expect, test } from 'bun:test'
import { GatewayClient, type GatewayOptions } from '@conntext/sdk'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { gather } from './conversation/people.ts'
import { wholeHistory } from './conversation/scenario.ts'

// The SDK's gateway client against a real server; its own tests try it with servers that misbehave.

let server: Deployment
let scene: Awaited<ReturnType<typeof gather>>

beforeAll(async () => {
  server = await startDeployment()
  scene = await gather(server.url, SETUP_CODE)
}, 120_000)

afterAll(async () => {
  scene?.owner.gateway.close()
  scene?.member.gateway.close()
  await server?.[Symbol.asyncDispose]()
}, 120_000)

const listener = (options: Partial<GatewayOptions> = {}) =>
  new GatewayClient({
    baseUrl: server.url,
    token: (refused) => scene.member.api.accessToken(refused),
    reconnect: { firstMs: 20, longestMs: 500 },
    ...options,
  })

test('a listener that is slower than a burst gets all of it, once and in order, without keeping all of it', async () => {
  const { owner, channel } = scene
  const gateway = listener({ maxWaiting: 20, compress: true })
  const heard: string[] = []
  const ends: number[] = []
  gateway.on('disconnected', ({ code }) => ends.push(code))
  gateway.on('message.created', async ({ content, channelId }) => {
    if (channelId === channel.id) heard.push(content)
    await Bun.sleep(1)
  })
  await gateway.connect()
  const said = Array.from({ length: 300 }, (_, index) => `burst ${index}`)
  await Promise.all(said.map((content) => owner.gateway.send({ channelId: channel.id, content })))
  await eventually(() => heard.length >= said.length, 60_000)
  expect(heard).toEqual(said)
  expect(ends.length).toBeGreaterThan(0)
  expect(new Set(ends)).toEqual(new Set([4008]))
  gateway.close()
}, 90_000)

test('sends under way when the server is killed are answered once, and stored once', async () => {
  const { owner, channel } = scene
  const gateway = listener()
  const heard: string[] = []
  gateway.on('message.created', ({ content, channelId }) => {
    if (channelId === channel.id) heard.push(content)
  })
  await gateway.connect()
  const said = Array.from({ length: 200 }, (_, index) => `through ${index}`)
  const answers: string[] = []
  const sending = said.map((content) =>
    owner.gateway.send({ channelId: channel.id, content }).then((stored) => answers.push(stored.content)),
  )
  await eventually(() => answers.length > 10)
  await server.kill('SIGKILL')
  await server.restart()
  await Promise.all(sending)
  expect(answers.toSorted()).toEqual(said.toSorted())
  await eventually(() => heard.length >= said.length, 30_000)
  const history = await wholeHistory(owner, channel.id)
  const stored = history.map(({ content }) => content).filter((content) => content.startsWith('through'))
  expect(stored.toSorted()).toEqual(said.toSorted())
  expect(heard).toEqual(stored)
  gateway.close()
}, 120_000)

test('a client that was away goes on from the cursors that another one kept', async () => {
  const { owner, channel } = scene
  const first = listener()
  await first.connect()
  const { cursors } = first
  first.close()
  const said = ['one', 'two', 'three'].map((word) => `${word} ${crypto.randomUUID()}`)
  for (const content of said) await owner.gateway.send({ channelId: channel.id, content })
  const second = listener()
  const heard: string[] = []
  second.on('message.created', ({ content }) => heard.push(content))
  const { resumed } = await second.connect(cursors)
  await eventually(() => heard.length >= said.length)
  expect([resumed, heard]).toEqual([true, said])
  second.close()
})
