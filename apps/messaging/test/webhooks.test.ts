import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  MAX_WEBHOOKS,
  type Message,
  type MessagePage,
  type Permission,
  type Webhook,
  type WebhookPage,
  type WebhookWithSecret,
} from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import type { Static } from '@sinclair/typebox'
import { createMessagingService } from '../src/service.ts'
import { picture } from './picture-files.ts'
import { assertGapless, audited, room } from './room.ts'
import { contents } from './searching.ts'
import { answerOf, type Member, type Stack, startMessaging } from './stack.ts'

type Page = Static<typeof WebhookPage>

let stack: Stack
beforeAll(async () => {
  stack = await startMessaging()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const MANAGES: Permission[] = ['webhook.manage', 'message.manage', 'message.pin']

/** A channel, who has webhooks there, and who has not. */
async function scene() {
  const around = await room(stack)
  const manager = await stack.authority.member({ permissions: MANAGES })
  const chief = await stack.authority.member({ permissions: [...MANAGES, 'message.mentionEveryone'] })
  const create = (more: object = {}, member: Member | undefined = manager) =>
    stack.json<WebhookWithSecret>('POST', '/v1/webhooks', member, {
      channelId: around.channel.id,
      name: 'Builds',
      ...more,
    })
  return { ...around, manager, chief, create, made: async (more?: object) => (await create(more, chief)).body }
}

const execute = (path: string, body: object) => stack.json<Message>('POST', path, undefined, body)
const outcomeOf = ({ status, body }: { status: number; body: { code?: string } | undefined }): string =>
  body?.code ? `${status} ${body.code}` : String(status)
const executed = async (path: string, body: object = { content: 'done' }) => outcomeOf(await execute(path, body))
const at = (id: string) => `/v1/webhooks/${id}`

describe('a webhook', () => {
  test('is made by who manages webhooks in the channel; its secret is told once, and kept as a hash', async () => {
    const { channel, manager, create } = await scene()
    const { status, body } = await create()
    expect(status).toBe(201)
    const { secret, path, ...webhook } = body
    expect(webhook).toMatchObject({ channelId: channel.id, name: 'Builds', avatarId: null, createdBy: manager.userId })
    expect(path).toBe(`/v1/webhooks/${webhook.id}/${secret}`)
    expect(Buffer.from(secret, 'base64url')).toHaveLength(32)
    expect((await stack.json<Webhook>('GET', at(webhook.id), manager)).body).toEqual(webhook as never)
    const page = await stack.json<Page>('GET', `/v1/webhooks?channelId=${channel.id}`, manager)
    expect(page.body).toEqual({ items: [webhook], nextCursor: null } as never)
    const [{ kept }] = (await stack.sql`select encode(secret_hash, 'hex') as kept from webhooks
      where id = ${webhook.id}`) as unknown as [{ kept: string }]
    expect(kept).toBe(new Bun.CryptoHasher('sha256').update(secret).digest('hex'))
    const everything = JSON.stringify(await stack.sql`select payload from messaging_outbox`)
    expect(everything).not.toContain(secret)
  })

  test('is nothing for who may not; of a channel that they can’t see they learn nothing', async () => {
    const { alice, manager, create, outcome, channel } = await scene()
    const { body: webhook } = await create()
    const hidden = await stack.authority.channel()
    const secret = await stack.json<WebhookWithSecret>('POST', '/v1/webhooks', manager, {
      channelId: hidden.id,
      name: 'Hidden',
    })
    const everyone = stack.authority.snapshot.roles[0]!
    stack.authority.snapshot.overrides.push({
      channelId: hidden.id,
      targetKind: 'role',
      targetId: everyone.id,
      allow: [],
      deny: ['channel.view'],
    })
    await stack.authority.changed()
    const ways = (id: string, channelId: string) =>
      [
        ['POST', '/v1/webhooks', { channelId, name: 'x' }],
        ['GET', `/v1/webhooks?channelId=${channelId}`],
        ['GET', at(id)],
        ['PATCH', at(id), { name: 'x' }],
        ['POST', `${at(id)}/rotate`],
        ['DELETE', at(id)],
      ] as const
    for (const [method, path, body] of ways(webhook.id, channel.id)) {
      expect(await outcome(method, path, undefined, body)).toBe('401 access.unauthenticated')
      expect(await outcome(method, path, alice, body)).toBe('403 access.forbidden')
    }
    for (const member of [alice, manager]) {
      for (const [method, path, body] of ways(secret.body.id, hidden.id)) {
        const there = await outcome(method, path, member, body)
        const nowhere = await outcome(method, path.replace(secret.body.id, newId()), member, body)
        expect([path, there]).toEqual([path, path.includes(secret.body.id) ? nowhere : '404 channel.notFound'])
      }
    }
    const program = { ...manager, token: stack.authority.apiToken(manager.userId, ['channel.view']).token }
    expect(await outcome('GET', at(webhook.id), program)).toBe('403 access.forbidden')
    expect((await audited(stack, 'access.refused')).map((event) => event.data)).toContainEqual({
      permission: 'webhook.manage',
    })
  })

  test('takes names that can be read, pictures of one’s own, and text channels', async () => {
    const { alice, manager, create, outcome } = await scene()
    const voice = await stack.authority.channel({ type: 'voice' })
    const { body: others } = await stack.upload(alice, await picture().png().toBuffer())
    const { body: file } = await stack.upload(manager, 'no picture')
    expect(outcomeOf(await create({ channelId: voice.id }))).toBe('409 message.notATextChannel')
    expect(outcomeOf(await create({ channelId: newId() }))).toBe('404 channel.notFound')
    expect(outcomeOf(await create({ avatarId: others.id }))).toBe('404 media.notFound')
    expect(outcomeOf(await create({ avatarId: file.id }))).toBe('422 media.notAnImage')
    for (const name of ['', '   ', 'a\u202eb', 'x'.repeat(81), 'a\0b']) {
      expect(outcomeOf(await create({ name }))).toBe('422 request.invalid')
    }
    expect(outcomeOf(await create({ secret: 'mine' }))).toBe('422 request.invalid')
    expect((await create({ name: '  Two   words ' })).body.name).toBe('Two words')
    expect(await outcome('GET', '/v1/webhooks', manager)).toBe('422 request.invalid')
    expect(await outcome('GET', at('nobody'), manager)).toBe('422 request.invalid')
  })

  test('is one of fifteen, also where the last places are taken at once', async () => {
    const { channel, manager, create } = await scene()
    const answers = await Promise.all(Array.from({ length: MAX_WEBHOOKS + 5 }, () => create()))
    expect(answers.filter((one) => one.status === 201)).toHaveLength(MAX_WEBHOOKS)
    expect(answers.filter((one) => one.body.code === 'webhook.tooMany')).toHaveLength(5)
    const first = await stack.json<Page>('GET', `/v1/webhooks?channelId=${channel.id}&limit=10`, manager)
    const query = `?channelId=${channel.id}&limit=10&cursor=${first.body.nextCursor}`
    const second = await stack.json<Page>('GET', `/v1/webhooks${query}`, manager)
    expect([first.body.items.length, second.body.items.length, second.body.nextCursor]).toEqual([10, 5, null])
  })

  test('is changed, and put elsewhere by who may in both; each change is audited with its reason', async () => {
    const { channel, manager, made, outcome } = await scene()
    const webhook = await made()
    const other = await stack.authority.channel()
    const headers = { authorization: `Bearer ${manager.token}`, 'content-type': 'application/json' }
    const patch = async (body: object, id = webhook.id) => {
      const init = { method: 'PATCH', body: JSON.stringify(body), headers: { ...headers, 'x-audit-reason': 'tidying' } }
      return answerOf<Webhook>(await stack.service.app.handle(new Request(`http://localhost${at(id)}`, init)))
    }
    expect((await patch({ name: 'Deploys', channelId: other.id })).body).toMatchObject({
      name: 'Deploys',
      channelId: other.id,
    })
    await patch({ name: 'Deploys' })
    await patch({})
    expect((await execute(webhook.path, { content: 'over here' })).body).toMatchObject({ channelId: other.id })
    const changes = { name: { from: 'Builds', to: 'Deploys' }, channelId: { from: channel.id, to: other.id } }
    const mine = async (action: string) =>
      (await audited(stack, action)).filter((event) => event.target.id === webhook.id)
    expect(await mine('webhook.updated')).toMatchObject([
      { reason: 'tidying', actor: { id: manager.userId }, data: { channelId: other.id, changes } },
    ])
    stack.authority.snapshot.overrides.push({
      channelId: channel.id,
      targetKind: 'member',
      targetId: manager.userId,
      allow: [],
      deny: ['webhook.manage'],
    })
    await stack.authority.changed()
    expect(outcomeOf(await patch({ channelId: channel.id }))).toBe('403 access.forbidden')
    await stack.json('POST', `${at(webhook.id)}/rotate`, manager)
    expect(await outcome('DELETE', at(webhook.id), manager)).toBe('204')
    expect(await mine('webhook.created')).toMatchObject([{ data: { channelId: channel.id, mentionEveryone: false } }])
    expect(await mine('webhook.secretRotated')).toHaveLength(1)
    expect(await mine('webhook.deleted')).toMatchObject([{ data: { channelId: other.id, name: 'Deploys' } }])
  })

  test('shows its picture to everybody, for as long as it has it', async () => {
    const { alice, manager, create } = await scene()
    const upload = async () => (await stack.upload(manager, await picture().png().toBuffer())).body.id
    const [first, second] = [await upload(), await upload()]
    const seen = async (id: string) => (await stack.json('GET', `/v1/media/${id}`, alice)).status
    expect(await seen(first)).toBe(404)
    const { body: webhook } = await create({ avatarId: first })
    expect(await seen(first)).toBe(200)
    expect((await execute(webhook.path, { content: 'look' })).body.webhook).toMatchObject({ avatarId: first })
    await stack.json('PATCH', at(webhook.id), manager, { avatarId: second })
    expect([await seen(first), await seen(second)]).toEqual([404, 200])
    await stack.json('DELETE', at(webhook.id), manager)
    expect(await seen(second)).toBe(404)
  })
})

describe('what is written by a webhook', () => {
  test('is a message like others, whose author is the webhook', async () => {
    const { channel, alice, made, events, read, say } = await scene()
    const webhook = await made()
    const { status, body: message } = await execute(webhook.path, { content: 'It **works**', nonce: 'build-7' })
    expect(status).toBe(201)
    expect(message).toMatchObject({
      type: 'webhook',
      channelId: channel.id,
      authorId: webhook.id,
      content: 'It **works**',
      nonce: 'build-7',
      webhook: { id: webhook.id, name: 'Builds', avatarId: null },
    })
    expect(events.at(-1)).toMatchObject({ t: 'message.created', seq: message.seq, d: message })
    expect(await read(alice, message.id)).toEqual(message)
    const signed = await execute(webhook.path, { content: 'And again', username: ' Night  shift ' })
    expect(signed.body.webhook).toEqual({ id: webhook.id, name: 'Night shift', avatarId: null })
    const reply = await say(alice, 'well done', signed.body.id)
    expect(reply.replyPreview).toMatchObject({
      authorId: webhook.id,
      excerpt: 'And again',
      webhookName: 'Night shift',
      deleted: false,
    })
    expect((await stack.history(channel.id, alice)).body.items).toEqual([message, signed.body, reply])
    await assertGapless(stack, channel.id)
  })

  test('comes once for each nonce, whichever of many repeats is first', async () => {
    const { channel, alice, made } = await scene()
    const [one, other] = [await made(), await made()]
    const body = { content: 'once', nonce: 'n' }
    const answers = await Promise.all(Array.from({ length: 10 }, () => execute(one.path, body)))
    expect(new Set(answers.map((answer) => `${answer.status} ${answer.body.id}`)).size).toBe(1)
    expect((await execute(other.path, body)).body.id).not.toBe(answers[0]!.body.id)
    expect((await stack.history(channel.id, alice)).body.items).toHaveLength(2)
  })

  test('calls members, and everyone or a role only where somebody who could has let it', async () => {
    const { alice, made, create, chief, manager, outcome } = await scene()
    const role = stack.authority.snapshot.roles.at(-1)!
    const content = `<@${alice.userId}> @everyone <@&${role.id}>`
    const modest = await made()
    expect((await execute(modest.path, { content })).body.mentions).toEqual({
      userIds: [alice.userId],
      roleIds: [],
      everyone: false,
    })
    expect(outcomeOf(await create({ mentionEveryone: true }))).toBe('403 access.forbidden')
    expect(await outcome('PATCH', at(modest.id), manager, { mentionEveryone: true })).toBe('403 access.forbidden')
    expect(await outcome('PATCH', at(modest.id), chief, { mentionEveryone: true })).toBe('200')
    expect((await execute(modest.path, { content })).body.mentions).toEqual({
      userIds: [alice.userId],
      roleIds: [role.id],
      everyone: true,
    })
    // What it may already, it keeps, whoever renames it; put elsewhere it is given anew.
    expect(await outcome('PATCH', at(modest.id), manager, { name: 'Loud' })).toBe('200')
    const { id: channelId } = await stack.authority.channel()
    expect(await outcome('PATCH', at(modest.id), manager, { channelId })).toBe('403 access.forbidden')
    expect(await outcome('PATCH', at(modest.id), manager, { channelId, mentionEveryone: false })).toBe('200')
  })

  test('counts as unread, is found, reacted to, pinned, and deleted by moderators alone', async () => {
    const { channel, alice, manager, base, made, outcome, events, say } = await scene()
    const webhook = await made()
    const { body: message } = await execute(webhook.path, { content: 'apples', username: 'Fruit Bot' })
    await say(alice, 'more apples', message.id)
    const { body: unread } = await stack.json<{ items: { channelId: string; unread: number }[] }>(
      'GET',
      '/v1/unread',
      alice,
    )
    expect(unread.items.find((one) => one.channelId === channel.id)?.unread).toBe(1)
    for (const q of ['from:"fruit bot"', `from:${webhook.id}`, `in:${channel.id} apples -from:@me`]) {
      expect([q, await contents(stack, alice, q)]).toEqual([q, ['apples']])
    }
    expect(await contents(stack, alice, 'from:fruit')).toEqual([])
    const path = `${base}/${message.id}`
    expect(await outcome('PUT', `${path}/reactions/%F0%9F%8D%8E`, alice)).toBe('204')
    expect(await outcome('PUT', `${path}/pin`, manager)).toBe('204')
    expect(await outcome('PATCH', path, manager, { content: 'pears' })).toBe('403 message.notAuthor')
    expect(await outcome('DELETE', path, alice)).toBe('403 access.forbidden')
    expect(await outcome('DELETE', path, manager)).toBe('204')
    expect((await audited(stack, 'message.deletedByModerator')).at(-1)).toMatchObject({
      data: { channelId: channel.id, authorId: webhook.id },
    })
    // Neither its words nor its name are left, wherever they were told.
    await eventually(() => events.at(-1)?.t === 'message.deleted')
    const left = await stack.sql`select frame from stream_events where stream = ${`channel:${channel.id}`}`
    const rows = await stack.sql`select m.*, d.words from messages m left join search_documents d on d.message_id = m.id
      where m.id = ${message.id}`
    const told = JSON.stringify([left, rows, (await stack.history(channel.id, alice)).body])
    expect(told).not.toMatch(/Fruit Bot|fruit bot/)
    expect(told).not.toContain('"apples"')
    expect(await executed(webhook.path, { content: 'apples', nonce: 'n' })).toBe('201')
  })

  test('is not held up by slow mode, and held to the same words as everybody’s', async () => {
    const { made } = await scene()
    const channel = await stack.authority.channel({ slowModeSeconds: 3600 })
    const webhook = await made({ channelId: channel.id })
    expect([await executed(webhook.path), await executed(webhook.path)]).toEqual(['201', '201'])
    const { maxMessageLength } = stack.authority.snapshot.server.limits
    for (const [body, expected] of [
      [{ content: '' }, '422 message.empty'],
      [{ content: 'x'.repeat(maxMessageLength + 1) }, '422 message.tooLong'],
      [{ content: 'a\0b' }, '422 message.unstorable'],
      [{ content: '\ud800' }, '422 message.unstorable'],
      [{ content: 'x', nonce: 'a\0' }, '422 message.unstorable'],
      [{ content: 'x', username: '\u202e' }, '422 request.invalid'],
      [{ content: 'x', mediaIds: [newId()] }, '422 request.invalid'],
      [{ content: 'x', authorId: newId() }, '422 request.invalid'],
      [{}, '422 request.invalid'],
    ] as const) {
      expect([body, await executed(webhook.path, body)]).toEqual([body, expected])
    }
  })
})

describe('whoever comes to a webhook', () => {
  test('with a wrong secret learns no more than of one that isn’t there, and is recorded', async () => {
    const { made } = await scene()
    const [webhook, other] = [await made(), await made()]
    const wrong = [
      `${at(webhook.id)}/${other.secret}`,
      `${at(webhook.id)}/${webhook.secret.slice(0, -1)}`,
      `${at(webhook.id)}/x`,
      `${at(newId())}/${webhook.secret}`,
    ]
    const bodies = await Promise.all(wrong.map(async (path) => (await execute(path, { content: 'let me in' })).body))
    const told = bodies.map(({ requestId: _, ...problem }) => problem)
    expect(told).toEqual(Array<never>(4).fill(told[0] as never))
    expect(told[0]).toMatchObject({ status: 404, code: 'webhook.notFound' })
    // Whoever is refused doesn't wait for the record.
    const events = await eventually(async () => {
      const found = await audited(stack, 'webhook.refused')
      return found.length === 2 && found
    })
    expect(events).toMatchObject([
      { target: { kind: 'webhook', id: webhook.id }, actor: { kind: 'anonymous' }, outcome: 'refused', data: {} },
      { target: { kind: 'webhook', id: null } },
    ])
    expect(JSON.stringify(events)).not.toContain(webhook.secret)
  })

  test('with the secret before it was changed is too late, as is whoever comes when it is gone', async () => {
    const { channel, alice, manager, made, outcome } = await scene()
    const webhook = await made()
    const { body: renewed } = await stack.json<WebhookWithSecret>('POST', `${at(webhook.id)}/rotate`, manager)
    expect(renewed.secret).not.toBe(webhook.secret)
    expect(await executed(webhook.path)).toBe('404 webhook.notFound')
    expect(await executed(renewed.path)).toBe('201')
    expect(await outcome('DELETE', at(webhook.id), manager)).toBe('204')
    expect(await executed(renewed.path)).toBe('404 webhook.notFound')
    expect(await outcome('DELETE', at(webhook.id), manager)).toBe('404 webhook.notFound')
    expect((await stack.history(channel.id, alice)).body.items).toMatchObject([
      { content: 'done', webhook: { id: webhook.id, name: 'Builds' } },
    ])
  })

  test.each([
    ['another secret', 'POST', '/rotate', undefined],
    ['its end', 'DELETE', '', undefined],
    ['another channel', 'PATCH', '', 'elsewhere'],
  ] as const)('is there before %s is answered, or not at all, on whichever instance', async (_, method, more, to) => {
    const { channel, alice, manager, made } = await scene()
    const webhook = await made()
    const body = to && { channelId: (await stack.authority.channel()).id }
    const other = createMessagingService({ ...stack.deps, webhookRate: { perSecond: 0, burst: 0 } })
    let going = true
    const answers: string[] = []
    const sender = async () => {
      while (going) {
        const init = { method: 'POST', body: '{"content":"hello"}', headers: { 'content-type': 'application/json' } }
        const answer = await other.app.handle(new Request(`http://localhost${webhook.path}`, init))
        answers.push(String(answer.status))
      }
    }
    const senders = [sender(), sender(), sender()]
    await eventually(() => answers.length > 20)
    expect((await stack.json(method, at(webhook.id) + more, manager, body)).status).toBeOneOf([200, 204])
    const stored = async () => (await stack.history(channel.id, alice, '?limit=100')).body as MessagePage
    const then = await stored()
    const before = answers.length
    await eventually(() => answers.length > before + 20)
    going = false
    await Promise.all(senders)
    expect(await stored()).toEqual(then)
  })

  test('too often is told to wait, whichever instance they come to', async () => {
    // Not a time of its own: nobody takes access tokens that are good for months.
    let now = Date.now()
    const clock = { now: () => new Date(now) }
    await using slow = await startMessaging({ clock })
    const channel = await slow.authority.channel()
    const manager = await slow.authority.member({ permissions: ['webhook.manage'] })
    const create = async () =>
      (await slow.json<WebhookWithSecret>('POST', '/v1/webhooks', manager, { channelId: channel.id, name: 'Fast' }))
        .body
    const [webhook, other] = [await create(), await create()]
    const second = createMessagingService(slow.deps)
    const ask = async (path: string, service = slow.service) => {
      const init = { method: 'POST', body: '{"content":"x"}', headers: { 'content-type': 'application/json' } }
      return service.app.handle(new Request(`http://localhost${path}`, init))
    }
    const burst = Array.from({ length: 40 }, (_, n) => ask(webhook.path, n % 2 ? second : slow.service))
    const answers = await Promise.all(burst)
    expect(answers.filter((one) => one.status === 201)).toHaveLength(30)
    const refused = answers.find((one) => one.status === 429)!
    expect([refused.headers.get('retry-after'), ((await refused.json()) as { code: string }).code]).toEqual([
      '1',
      'webhook.tooFast',
    ])
    expect((await ask(other.path)).status).toBe(201)
    now += 2_000
    const later = await Promise.all(Array.from({ length: 4 }, () => ask(webhook.path)))
    expect(later.map((one) => one.status).sort()).toEqual([201, 201, 429, 429])
    // A wrong secret takes nothing away.
    now += 1_000
    await ask(`${at(webhook.id)}/wrong`)
    expect((await ask(webhook.path)).status).toBe(201)
  })
})

test('a channel that goes takes its webhooks along, with their pictures', async () => {
  const { channel, alice, manager, create } = await scene()
  const { body: file } = await stack.upload(manager, await picture().png().toBuffer())
  const { body: webhook } = await create({ avatarId: file.id })
  const { channels } = stack.authority.snapshot
  channels.splice(channels.indexOf(channel), 1)
  await stack.authority.changed()
  expect(await executed(webhook.path)).toBe('404 webhook.notFound')
  for (const _ of [1, 2]) await stack.port.channelDeleted({ channelId: channel.id })
  expect(await stack.sql`select 1 from webhooks where id = ${webhook.id}`).toHaveLength(0)
  expect((await stack.json('GET', `/v1/media/${file.id}`, alice)).status).toBe(404)
  expect(await executed(webhook.path)).toBe('404 webhook.notFound')
})
