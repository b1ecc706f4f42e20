import { describe, expect, test } from 'bun:test'
import { utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { channelStream, decodeNews, isPermission, subjects } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Stack, startMessaging } from './stack.ts'

/** Holds all streams, so that whatever is sent waits; answers what lets it go. */
async function blockSends(stack: Stack) {
  const release = Promise.withResolvers<void>()
  const locked = Promise.withResolvers<void>()
  const blocking = stack.sql.begin(async (tx) => {
    await tx`select 1 from streams for update`
    locked.resolve()
    await release.promise
  })
  await locked.promise
  return async () => {
    release.resolve()
    await blocking
  }
}

test('every route says who may use it', async () => {
  await using stack = await startMessaging()
  const routes = stack.service.app.routes.map(({ method, path, hooks }) => {
    const { detail } = hooks as { detail?: { 'x-permission'?: string; operationId?: string } }
    expect(detail?.operationId).toBeTruthy()
    return [method, path, detail?.['x-permission']] as const
  })
  expect(routes.length).toBeGreaterThan(8)
  for (const [method, path, permission] of routes) {
    const known = ['member', 'account', 'public'].includes(permission ?? '') || isPermission(permission ?? '')
    expect([method, path, known]).toEqual([method, path, true])
    const concrete = path.replace(/:\w+/g, '01920000-0000-7000-8000-000000000000')
    const body = ['POST', 'PUT', 'PATCH'].includes(method)
      ? { body: '{}', headers: { 'content-type': 'application/json' } }
      : {}
    // What takes no token is what uploads can do, and a webhook, which needs something to say.
    const told = permission !== 'public' ? 401 : method === 'OPTIONS' ? 204 : 422
    expect([method, path, (await stack.request(method, concrete, undefined, body)).status]).toEqual([
      method,
      path,
      told,
    ])
  }
})

describe('refusals', () => {
  test('are recorded once a minute for each caller and route, and at its end how many there were', async () => {
    let now = Date.now()
    await using stack = await startMessaging({ clock: { now: () => new Date(now) } })
    const channel = await stack.authority.channel()
    const [alice, bob] = [await stack.authority.member(), await stack.authority.member()]
    const everyone = stack.authority.snapshot.roles[0]!
    everyone.permissions = ['channel.view']
    await stack.authority.changed()
    for (let index = 0; index < 5; index += 1) {
      expect((await stack.send(channel.id, alice, { content: 'x' })).status).toBe(403)
    }
    await stack.send(channel.id, bob, { content: 'x' })
    await stack.history(channel.id, alice)
    now += 61_000
    await stack.send(channel.id, alice, { content: 'x' })
    await stack.service.stop()
    const refusals = stack.audited.filter((one) => one.action === 'access.refused')
    expect(refusals.map(({ actor, target, data }) => [actor.id, target.id, data])).toEqual([
      [alice.userId, 'POST /v1/channels/:channelId/messages', { permission: 'message.send' }],
      [bob.userId, 'POST /v1/channels/:channelId/messages', { permission: 'message.send' }],
      [alice.userId, 'GET /v1/channels/:channelId/messages', { permission: 'message.history' }],
      [alice.userId, 'POST /v1/channels/:channelId/messages', { permission: 'message.send', repeats: 4 }],
      [alice.userId, 'POST /v1/channels/:channelId/messages', { permission: 'message.send' }],
    ])
    expect(refusals[0]).toMatchObject({ outcome: 'refused', severity: 'notice' })
  })

  test('that can not be recorded are refusals all the same', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    stack.authority.snapshot.roles[0]!.permissions = ['channel.view']
    await stack.authority.changed()
    await stack.sql`alter table messaging_outbox add constraint no_audit check (topic <> 'audit')`
    expect((await stack.send(channel.id, alice, { content: 'x' })).status).toBe(403)
  })
})

describe('under too much', () => {
  test('sends that find the queue full are told to come back; all others are stored', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    await stack.send(channel.id, alice, { content: 'first' })
    const release = await blockSends(stack)
    let refused = 0
    const sends = Array.from({ length: 5600 }, async () => {
      const answer = await stack.send(channel.id, alice, { content: 'x' })
      if (answer.status !== 503) return answer.status
      refused += 1
      expect(answer.body.code).toBe('message.overloaded')
      expect(answer.headers.get('retry-after')).toBe('1')
      return answer.status
    })
    await eventually(() => refused > 0)
    await release()
    const statuses = await Promise.all(sends)
    const stored = statuses.filter((status) => status === 201).length
    expect(stored).toBeGreaterThanOrEqual(5000)
    expect(stored + refused).toBe(5600)
    const [row] = await stack.sql`select count(*)::int as messages, max(seq)::int as last from messages`
    expect(row).toEqual({ messages: stored + 1, last: stored + 1 } as never)
  })
})

describe('when the database breaks off', () => {
  test('what was under way is a 503 and not stored; what comes after is numbered and published as ever', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const heard: number[] = []
    await stack.bus.subscribe(subjects.stream(channelStream(channel.id)), (news) => heard.push(decodeNews(news).seq))
    await stack.send(channel.id, alice, { content: 'first' })
    const release = await blockSends(stack)
    const sends = Array.from({ length: 5 }, () => stack.send(channel.id, alice, { content: 'x' }))
    await eventually(async () => {
      const ended = await stack.sql`select pg_terminate_backend(pid) from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`
      return ended.length > 0
    })
    const answers = await Promise.all(sends)
    expect(answers.map((answer) => `${answer.status} ${answer.body.code}`)).toEqual(
      Array(5).fill('503 dependency.away'),
    )
    await release()
    expect((await stack.send(channel.id, alice, { content: 'second' })).body.seq).toBe(2)
    expect(heard).toEqual([1, 2])
  })
})

describe('starting', () => {
  test('sweeps what uploads left that ended with their process, and nothing that is under way', async () => {
    await using stack = await startMessaging()
    const abandoned = join(stack.directory, 'tmp', 'abandoned')
    const running = join(stack.directory, 'tmp', 'running')
    await Promise.all([writeFile(abandoned, 'x'), writeFile(running, 'x')])
    const twoHoursAgo = Date.now() / 1000 - 7200
    await utimes(abandoned, twoHoursAgo, twoHoursAgo)
    const second = createMessagingService(stack.deps)
    await second.start()
    expect(await stack.files()).toEqual(['running'])
    await second.stop()
  })
})

describe('stopping', () => {
  test('stores what was taken, ships what is owed, and takes no more', async () => {
    await using stack = await startMessaging()
    const channel = await stack.authority.channel()
    const alice = await stack.authority.member()
    const upload = await stack.upload(alice, 'x')
    await stack.send(channel.id, alice, { content: 'first' })
    const release = await blockSends(stack)
    const sends = Array.from({ length: 20 }, () => stack.send(channel.id, alice, { content: 'x' }))
    await eventually(async () => {
      const [waiting] = await stack.sql`select 1 from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`
      return waiting
    })
    const stopped = stack.service.stop()
    await release()
    await stopped
    expect(await stack.sql`select 1 from messages`).toHaveLength(21)
    expect(new Set((await Promise.all(sends)).map((answer) => answer.status))).toEqual(new Set([201]))
    expect(stack.audited.map((one) => one.target.id)).toContain(upload.body.id)
    const late = await stack.send(channel.id, alice, { content: 'x' })
    expect([late.status, late.body.code]).toEqual([503, 'dependency.away'])
  })
})
