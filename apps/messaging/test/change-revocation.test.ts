import { expect, test } from 'bun:test'
import type { Conversation, Message, Permission } from '@conntext/contracts'
import { atTheLastMoment, forbid, room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

const THUMB = encodeURIComponent('👍')
const timeOut = (stack: Stack, { userId }: Member) =>
  stack.authority.setGrant(userId, { timedOutUntil: new Date(Date.now() + 60_000).toISOString() })
/** What roles gave to somebody goes; what everybody may do stays. */
const demote = (stack: Stack, { userId }: Member) => stack.authority.setGrant(userId, { roleIds: [] })

type Scene = { message: string; alice: Member; moderator: Member }
type Act = [what: string, method: string, path: (scene: Scene) => string, body?: ((scene: Scene) => object) | undefined]

const own: Act[] = [
  ['edits', 'PATCH', ({ message }) => `/${message}`, () => ({ content: 'other words' })],
  ['reacts', 'PUT', ({ message }) => `/${message}/reactions/${THUMB}`],
]
const moderating: Act[] = [
  ['pins', 'PUT', ({ message }) => `/${message}/pin`],
  ['takes a pin off', 'DELETE', ({ message }) => `/${message}/pin`],
  ['takes a reaction away', 'DELETE', ({ message, alice }) => `/${message}/reactions/%E2%9C%85/${alice.userId}`],
  ['takes all reactions away', 'DELETE', ({ message }) => `/${message}/reactions`],
  ['deletes', 'DELETE', ({ message }) => `/${message}`],
  ['deletes many', 'POST', () => '/bulk-delete', ({ message }) => ({ messageIds: [message] })],
]

async function start() {
  const stack = await startMessaging()
  const { channel, base, alice, moderator, say, outcome } = await room(stack)
  const { id: message } = await say(alice, 'words')
  expect(await outcome('PUT', `${base}/${message}/reactions/%E2%9C%85`, alice)).toBe('204')
  const scene: Scene = { message, alice, moderator }
  const events = async () => (await stack.sql`select from stream_events`).length
  /** How an act that waits for its turn is answered after `between`, and how many events it has written. */
  const late = async ([, method, path, body]: Act, by: Member, between: () => Promise<void>): Promise<string> => {
    const before = await events()
    const act = () => outcome(method, base + path(scene), by, body?.(scene))
    const answer = await atTheLastMoment(stack, channel.id, act, between)
    return `${answer}, ${(await events()) - before}`
  }
  return { stack, late, ...scene, base, outcome, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

test.each(own)(
  'nobody %s who is timed out or sees the channel no more, once that is answered',
  async (...[what, method, path, body]) => {
    await using scene = await start()
    const { stack, late, alice } = scene
    expect(await late([what, method, path, body], alice, () => timeOut(stack, alice))).toBe('403 access.forbidden, 0')
    await stack.authority.setGrant(alice.userId, { timedOutUntil: null })
    expect(await late([what, method, path, body], alice, () => forbid(stack, 'channel.view'))).toBe(
      '404 channel.notFound, 0',
    )
  },
)

test.each(moderating)(
  'nobody %s who moderates no more, once that is answered',
  async (...[what, method, path, body]) => {
    await using scene = await start()
    const { stack, late, moderator, base, outcome } = scene
    if (what === 'takes a pin off') expect(await outcome('PUT', `${base}/${scene.message}/pin`, moderator)).toBe('204')
    expect(await late([what, method, path, body], moderator, () => demote(stack, moderator))).toBe(
      '403 access.forbidden, 0',
    )
  },
)

test('what is one’s own can be taken back by who may see it, until they may not', async () => {
  await using scene = await start()
  const { stack, late, alice, message, base, outcome } = scene
  const takesBack: Act = ['takes back', 'DELETE', () => `/${message}/reactions/%E2%9C%85`]
  const deletes: Act = ['deletes', 'DELETE', () => `/${message}`]
  const nothing: Permission = 'channel.view'
  expect(await late(takesBack, alice, () => timeOut(stack, alice))).toBe('204, 1')
  expect(await outcome('DELETE', `${base}/${message}/reactions/%E2%9C%85`, alice)).toBe('204')
  expect(await late(deletes, alice, () => forbid(stack, nothing))).toBe('404 channel.notFound, 0')
})

test('nobody changes anything in a group that they have been taken out of, once that is answered', async () => {
  await using stack = await startMessaging()
  const [anna, ben] = [await stack.authority.member(), await stack.authority.member()]
  const group = { userIds: [ben.userId], name: 'walks' }
  const { id } = (await stack.json<Conversation>('POST', '/v1/dms', anna, group)).body
  const { body: message } = await stack.json<Message>('POST', `/v1/channels/${id}/messages`, ben, { content: 'words' })
  const edit = () =>
    stack.json<{ code?: string }>('PATCH', `/v1/channels/${id}/messages/${message.id}`, ben, { content: 'x' })
  const takeOut = async () => {
    await stack.sql`delete from conversation_participants where user_id = ${ben.userId}`
  }
  const { status, body } = await atTheLastMoment(stack, id, edit, takeOut)
  expect(`${status} ${body.code}`).toBe('404 channel.notFound')
})
