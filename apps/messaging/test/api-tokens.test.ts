import { expect, test } from 'bun:test'
import type { Permission } from '@conntext/contracts'
import { type Member, onBehalf, type Stack, startMessaging } from './stack.ts'

/** The same member, as whoever has an API token of theirs that is for these. */
function byToken({ authority }: Stack, { userId }: Member, ...scopes: Permission[]): Member {
  const { token, tokenId } = authority.apiToken(userId, scopes)
  return { userId, sessionId: tokenId, token }
}

test('an API token says and reads what it is for, and does with its own what it could have made', async () => {
  await using stack = await startMessaging()
  const channel = await stack.authority.channel()
  const alice = await stack.authority.member()
  const { id } = (await stack.send(channel.id, alice, { content: 'mine' })).body
  const path = `/v1/channels/${channel.id}/messages/${id}`
  const [looking, reading, writing] = [
    byToken(stack, alice, 'channel.view'),
    byToken(stack, alice, 'channel.view', 'message.history'),
    byToken(stack, alice, 'channel.view', 'message.send'),
  ]
  expect((await stack.history(channel.id, looking)).status).toBe(403)
  expect((await stack.history(channel.id, reading)).status).toBe(200)
  for (const other of [looking, reading]) {
    expect((await stack.send(channel.id, other, { content: 'x' })).status).toBe(403)
    expect((await stack.json('PATCH', path, other, { content: 'x' })).status).toBe(403)
    expect((await stack.json('DELETE', path, other)).status).toBe(403)
  }
  // Without a scope for looking there is no channel.
  const blind = byToken(stack, alice, 'message.send')
  expect(await stack.json('DELETE', path, blind)).toMatchObject({ status: 404, body: { code: 'channel.notFound' } })
  expect((await stack.json('PATCH', path, writing, { content: 'ours' })).status).toBe(200)
  expect((await stack.request('DELETE', path, writing)).status).toBe(204)
})

test('over the WebSocket it sends no more than over HTTP', async () => {
  await using stack = await startMessaging()
  const channel = await stack.authority.channel()
  const alice = await stack.authority.member()
  const send = async (scopes: Permission[]) => {
    const caller = { ...onBehalf(alice), scopes }
    const [outcome] = await stack.port.sendMessages({
      caller,
      sends: [{ channelId: channel.id, message: { content: 'x' } }],
    })
    return 'message' in outcome! ? 'sent' : outcome!.problem.code
  }
  expect(await send(['channel.view', 'message.send'])).toBe('sent')
  expect(await send(['administrator'])).toBe('sent')
  expect(await send(['channel.view'])).toBe('access.forbidden')
  expect(await send(['message.send'])).toBe('channel.notFound')
})

test("its owner's files are out of reach of an API token that is not for files, unless a message shows them", async () => {
  await using stack = await startMessaging()
  const channel = await stack.authority.channel()
  const alice = await stack.authority.member()
  const [shown, kept] = [(await stack.upload(alice, 'one')).body, (await stack.upload(alice, 'two')).body]
  await stack.send(channel.id, alice, { content: '', mediaIds: [shown.id] })
  const looking = byToken(stack, alice, 'channel.view')
  const filing = byToken(stack, alice, 'media.attach')
  const get = async (id: string, by: Member) => (await stack.json('GET', `/v1/media/${id}`, by)).status
  expect([await get(shown.id, looking), await get(kept.id, looking)]).toEqual([200, 404])
  expect([await get(shown.id, filing), await get(kept.id, filing)]).toEqual([200, 200])
  expect((await stack.request('GET', `/v1/media/${kept.id}/content`, looking)).status).toBe(404)
  expect((await stack.json('DELETE', `/v1/media/${kept.id}`, looking)).status).toBe(404)
  expect((await stack.json('DELETE', `/v1/media/${shown.id}`, looking)).status).toBe(403)
  expect((await stack.request('DELETE', `/v1/media/${kept.id}`, filing)).status).toBe(204)
})
