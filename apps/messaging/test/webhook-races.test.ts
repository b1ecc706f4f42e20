import { afterAll, beforeAll, expect, test } from 'bun:test'
import { channelStream, type Message, type Permission, type WebhookWithSecret } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { room } from './room.ts'
import { type Member, type Stack, startMessaging } from './stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startMessaging()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const MANAGES: Permission[] = ['webhook.manage']
const LOUD: Permission[] = [...MANAGES, 'message.mentionEveryone']

/** A channel with a webhook that may call everyone. */
async function scene() {
  const around = await room(stack)
  const manager = await stack.authority.member({ permissions: MANAGES })
  const chief = await stack.authority.member({ permissions: LOUD })
  const given = { channelId: around.channel.id, name: 'Builds', mentionEveryone: true }
  const { body: webhook } = await stack.json<WebhookWithSecret>('POST', '/v1/webhooks', chief, given)
  return { ...around, manager, chief, webhook, at: `/v1/webhooks/${webhook.id}` }
}

/**
 * Holds the channel's stream, as whoever writes there does. What is asked then has been looked at, and waits;
 * `release` lets it go on.
 */
async function holdStream(channelId: string) {
  const name = channelStream(channelId)
  const held = await stack.sql.reserve()
  await held`begin`
  await held`insert into streams (name) values (${name}) on conflict do nothing`
  await held`select from streams where name = ${name} for update`
  return {
    held,
    waits: (count = 1) =>
      eventually(async () => {
        const [row] = await stack.sql`select count(*)::int as waiting from pg_stat_activity
          where wait_event_type = 'Lock' and datname = current_database()`
        return row!.waiting >= count
      }),
    async release() {
      await held`commit`
      held.release()
    },
  }
}

/** Takes from somebody what they could do by their role. */
async function demote({ userId }: Member) {
  await stack.authority.setGrant(userId, { roleIds: [] })
}

test('whoever may manage webhooks no more gets no secret by what was on its way', async () => {
  const { channel, manager, webhook, at } = await scene()
  const { waits, release } = await holdStream(channel.id)
  const renewed = stack.json('POST', `${at}/rotate`, manager)
  const made = stack.json('POST', '/v1/webhooks', manager, { channelId: channel.id, name: 'Mine' })
  await waits(2)
  await demote(manager)
  await release()
  for (const answer of [await renewed, await made]) expect(answer).toMatchObject({ status: 403 })
  expect((await stack.json('POST', webhook.path, undefined, { content: 'as before' })).status).toBe(201)
  expect(await stack.sql`select from webhooks where channel_id = ${channel.id}`).toHaveLength(1)
})

test('whoever may not call everyone does not let a webhook that somebody else has just silenced', async () => {
  const { channel, manager, webhook, at } = await scene()
  const { held, waits, release } = await holdStream(channel.id)
  const changed = stack.json('PATCH', at, manager, { name: 'Deploys', mentionEveryone: true })
  await waits()
  await held`update webhooks set mention_everyone = false where id = ${webhook.id}`
  await release()
  expect(await changed).toMatchObject({ status: 403, body: { code: 'access.forbidden' } })
  expect((await stack.json('GET', at, manager)).body).toMatchObject({ name: 'Builds', mentionEveryone: false } as never)
})

test('a webhook that has been silenced calls nobody by what was on its way, but for members', async () => {
  const { channel, alice, chief, webhook, at } = await scene()
  const { held, waits, release } = await holdStream(channel.id)
  const content = `@everyone <@${alice.userId}>`
  const sent = stack.json<Message>('POST', webhook.path, undefined, { content })
  const alone = stack.json<Message>('POST', webhook.path, undefined, { content: '@here' })
  await waits()
  await held`update webhooks set mention_everyone = false where id = ${webhook.id}`
  await release()
  const mentions = { userIds: [alice.userId], roleIds: [], everyone: false }
  expect((await sent).body.mentions).toEqual(mentions)
  expect((await alone).body.mentions).toEqual({ ...mentions, userIds: [] })
  const called = await stack.sql`select target_id from message_mentions where channel_id = ${channel.id}`
  expect(called.map((row) => row.target_id)).toEqual([alice.userId])
  expect((await stack.json('PATCH', at, chief, { mentionEveryone: true })).status).toBe(200)
})
