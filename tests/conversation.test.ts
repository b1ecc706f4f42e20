import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { corpus } from './conversation/corpus.ts'
import { gather } from './conversation/people.ts'
import {
  auditTrail,
  checkHistory,
  checkReceived,
  converse,
  EXPECTED_TRAIL,
  editAndDelete,
  exchangeFile,
  received,
  wholeHistory,
} from './conversation/scenario.ts'

// The tests tell one story, in order, on one server.
let server: Deployment
let scene: Awaited<ReturnType<typeof gather>>
const acknowledged: Awaited<ReturnType<typeof converse>> = []

beforeAll(async () => {
  server = await startDeployment({ CONNTEXT_RATE_MESSAGES: '0', CONNTEXT_RATE_FRAMES: '0' })
  scene = await gather(server.url, SETUP_CODE)
}, 120_000)

afterAll(async () => {
  scene?.owner.gateway.close()
  scene?.member.gateway.close()
  await server?.[Symbol.asyncDispose]()
}, 120_000)

const everybodyHas = (count: number) =>
  eventually(
    () => [scene.owner, scene.member].every((person) => received(person, scene.channel.id).length >= count),
    60_000,
  )

test('a conversation in every script reaches both, once, in order, byte for byte', async () => {
  const { owner, member, channel } = scene
  acknowledged.push(...(await converse([owner, member], channel.id, await corpus())))
  await everybodyHas(acknowledged.length)
  checkReceived(owner, channel.id, acknowledged)
  checkReceived(member, channel.id, acknowledged)
  checkHistory(await wholeHistory(member, channel.id), acknowledged)
}, 180_000)

test('a 40 MB file comes back by Ranges with the same hash', async () => {
  acknowledged.push(await exchangeFile(scene.member, scene.owner, scene.channel.id, 40_000_000))
}, 120_000)

test('every privileged action is in the audit trail', async () => {
  await editAndDelete(scene.member, scene.owner, scene.channel.id)
  for (const [action, atLeast] of Object.entries(EXPECTED_TRAIL)) {
    const events = await eventually(async () => {
      const found = await auditTrail(scene.owner, action)
      return found.length >= atLeast ? found : undefined
    })
    expect(events.every((event) => event.action === action)).toBe(true)
  }
  const [change] = await auditTrail(scene.owner, 'member.rolesChanged')
  expect(change).toMatchObject({
    actor: { kind: 'user', id: scene.owner.id },
    target: { kind: 'user', id: scene.member.id },
    reason: 'a test',
    data: { added: [scene.role.id], removed: [] },
  })
}, 120_000)

test('a server killed in the middle of sending loses and doubles nothing acknowledged', async () => {
  const { owner, member, channel } = scene
  const texts = Array.from({ length: 2_000 }, (_, i) => `number ${i}`)
  const before = received(owner, channel.id).length
  const sending = converse([owner, member], channel.id, texts)
  await eventually(() => received(owner, channel.id).length > before + 200)
  await server.kill('SIGKILL')
  await server.restart()
  acknowledged.push(...(await sending))

  const history = await wholeHistory(owner, channel.id)
  checkHistory(history, acknowledged)
  const numbers = history.flatMap((message) => /^number (\d+)$/.exec(message.content)?.[1] ?? [])
  expect(numbers.length).toBe(texts.length)
  expect(new Set(numbers).size).toBe(texts.length)
  await eventually(() => [owner, member].every((person) => person.events.at(-1)?.seq === history.at(-1)!.seq), 30_000)
  checkReceived(owner, channel.id, acknowledged)
  checkReceived(member, channel.id, acknowledged)
}, 180_000)
