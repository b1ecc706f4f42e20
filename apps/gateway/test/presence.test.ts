import { expect, test } from 'bun:test'
import type { PresencePage, SaidPresence } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { history, own, presenceFrames, quick, seen, statuses, tellAll, untilSeen } from './support/presence.ts'
import { type Stack, startStack } from './support/stack.ts'

const config = { presence: quick }

async function presences(stack: Stack, token: string, query = ''): Promise<PresencePage> {
  const answer = await fetch(`${stack.url}/v1/presences${query}`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.status).toBe(200)
  return (await answer.json()) as PresencePage
}

/** A client that says how it is as it identifies. */
async function enterAs(stack: Stack, token: string, presence: object) {
  const client = stack.connect()
  await client.op('hello')
  client.send({ op: 'identify', token, presence })
  const ready = await client.op('ready')
  return { client, ready }
}

test('whoever comes is online for everybody, and finds who is there already', async () => {
  await using stack = await startStack({ config })
  const [ann, ben] = [await stack.authority.member(), await stack.authority.member()]
  const first = await stack.enter(ann.token)
  const presence = { userId: ann.userId, status: 'online', customStatus: null }
  expect(first.ready).toMatchObject({ presence, presences: [], presenceCount: expect.any(Number) })
  const watching = await stack.authority.member()
  const { client: watcher } = await stack.enter(watching.token)
  await untilSeen(watcher, ann.userId, 'online')
  await stack.enter(ben.token)
  await untilSeen(watcher, ben.userId, 'online')
  await untilSeen(first.client, ben.userId, 'online')
  const late = await stack.enter((await stack.authority.member()).token)
  expect(late.ready.presences).toContainEqual(presence)
  expect(late.ready.presenceCount).toBeGreaterThanOrEqual(3)
})

test('an account is what its devices are together: invisible, then busy, then online, idle only when all are', async () => {
  await using stack = await startStack({ config })
  const [ann, watching] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter(watching.token)
  const { client: phone } = await enterAs(stack, ann.token, { status: 'idle' })
  await untilSeen(watcher, ann.userId, 'idle')
  const { client: desk } = await stack.enter(ann.token)
  await untilSeen(watcher, ann.userId, 'online')
  expect((await phone.ask({ op: 'presence', status: 'dnd' })).d).toMatchObject({ status: 'dnd' })
  await untilSeen(watcher, ann.userId, 'dnd')
  expect((await desk.ask({ op: 'presence', status: 'invisible' })).d).toMatchObject({ status: 'invisible' })
  await untilSeen(watcher, ann.userId, 'offline')
  desk.close()
  await untilSeen(watcher, ann.userId, 'dnd')
  expect(statuses(watcher, ann.userId)).toEqual(['idle', 'online', 'dnd', 'offline', 'dnd'])
})

test('who is invisible is seen by themselves alone', async () => {
  await using stack = await startStack({ config })
  const [ann, watching] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter(watching.token)
  const entered = await enterAs(stack, ann.token, { status: 'invisible', customStatus: { text: 'hidden' } })
  expect(entered.ready.presence).toMatchObject({ status: 'invisible', customStatus: { text: 'hidden' } })
  const { client: other } = await stack.enter(ann.token)
  await other.ask({ op: 'presence', status: 'dnd', customStatus: { text: 'still hidden' } })
  await eventually(() => own(entered.client).at(-1)?.customStatus?.text === 'still hidden')
  // Somebody who comes later is told last: whatever would have been told of her has been by then.
  const ben = await stack.authority.member()
  await stack.enter(ben.token)
  await untilSeen(watcher, ben.userId, 'online')
  expect(history(watcher, ann.userId)).toEqual([])
  expect(own(other).map(({ status }) => status)).toEqual(own(other).map(() => 'invisible'))
  const late = await stack.enter((await stack.authority.member()).token)
  expect(JSON.stringify(late.ready)).not.toContain(ann.userId)
  const listed = await presences(stack, ann.token)
  expect(listed.items.map(({ userId }) => userId)).not.toContain(ann.userId)
  const asked = await presences(stack, ann.token, `?userIds=${ann.userId}`)
  expect(asked.items).toEqual([{ userId: ann.userId, status: 'offline', customStatus: null }])
})

test('the custom status is the one that was said last, stays when its device goes, and ends in time', async () => {
  let now = Date.now()
  await using stack = await startStack({ config, clock: { now: () => new Date(now) } })
  const [ann, watching] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter(watching.token)
  const status = () => seen(watcher, ann.userId)?.customStatus
  const { client: phone } = await stack.enter(ann.token)
  await phone.ask({ op: 'presence', customStatus: { text: ' at   lunch ', emoji: '🍜' } })
  await eventually(() => status())
  expect(status()).toEqual({ text: 'at lunch', emoji: '🍜', expiresAt: null })
  // One that comes back with what it once said doesn't undo this.
  const back = await enterAs(stack, ann.token, { customStatus: { text: 'yesterday' } })
  expect(back.ready.presence.customStatus.text).toBe('at lunch')
  const expiresAt = new Date(now + 60_000).toISOString()
  await back.client.ask({ op: 'presence', customStatus: { text: 'in a meeting', expiresAt } })
  await eventually(() => status()?.text === 'in a meeting')
  back.client.close()
  await stack.enter(ann.token)
  await Bun.sleep(quick.graceMs + 5 * quick.tickMs)
  expect(status()?.text).toBe('in a meeting')
  now += 61_000
  await eventually(() => status() === null)
  const over = { text: 'in a meeting', expiresAt }
  expect((await enterAs(stack, watching.token, { customStatus: over })).ready.presence.customStatus).toBeNull()
  expect((await phone.ask({ op: 'presence', customStatus: null })).d.customStatus).toBeNull()
})

const hostile: [string, object, string][] = [
  ['a line break', { text: 'a\nb' }, '/customStatus/text'],
  ['a change of direction', { text: 'a\u202eb' }, '/customStatus/text'],
  ['nothing that can be seen', { text: '\u2800' }, '/customStatus/text'],
  ['an invisible character', { text: 'a\u200bb' }, '/customStatus/text'],
  ['129 characters', { text: 'x'.repeat(129) }, '/customStatus/text'],
  ['no emoji', { emoji: 'x' }, '/customStatus/emoji'],
  ['two emoji', { emoji: '🍜🍜' }, '/customStatus/emoji'],
  ['an end in the past', { text: 'a', expiresAt: '2020-01-01T00:00:00Z' }, '/customStatus/expiresAt'],
  ['an end in the far future', { text: 'a', expiresAt: '2120-01-01T00:00:00Z' }, '/customStatus/expiresAt'],
]

test('a custom status that tricks the eye, is too long or over already is refused', async () => {
  await using stack = await startStack({ config: { ...config, socket: { presences: { perSecond: 0, burst: 0 } } } })
  const [ann, watching] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter(watching.token)
  const { client } = await stack.enter(ann.token)
  for (const [what, customStatus, path] of hostile) {
    const { error } = await client.ask({ op: 'presence', customStatus })
    expect([what, error.status, error.errors[0].path]).toEqual([what, 422, path])
  }
  expect((await client.ask({ op: 'presence', customStatus: { text: 'x', more: 1 } })).error.status).toBe(422)
  expect((await client.ask({ op: 'presence', status: 'offline' })).error.status).toBe(422)
  const long = '日'.repeat(128)
  expect((await client.ask({ op: 'presence', customStatus: { text: long } })).d.customStatus.text).toBe(long)
  await eventually(() => seen(watcher, ann.userId)?.customStatus?.text === long)
  expect(history(watcher, ann.userId).filter((one) => one.customStatus).length).toBe(1)
  const stranger = stack.connect()
  await stranger.op('hello')
  const identify = { op: 'identify', token: watching.token, presence: { customStatus: { text: 'a\nb' } } }
  const { error } = await stranger.ask(identify)
  expect([error.status, error.errors[0].path]).toEqual([422, '/presence/customStatus/text'])
  expect((await stranger.ask({ op: 'identify', token: watching.token })).ok).toBe(true)
})

test('with an API token nobody is there, nor says how they are; a bot is', async () => {
  await using stack = await startStack({ config })
  const { authority } = stack
  const [ann, bot, watching] = [await authority.member(), await authority.member(), await authority.member()]
  await authority.setGrant(bot.userId, { kind: 'bot' })
  const { client: watcher } = await stack.enter(watching.token)
  const { client: script } = await stack.enter(authority.apiToken(ann.userId, ['channel.view']).token)
  const refused = await script.ask({ op: 'presence', status: 'dnd' })
  expect(refused).toMatchObject({ ok: false, error: { status: 403, code: 'access.forbidden' } })
  await stack.enter(authority.apiToken(bot.userId, ['channel.view']).token)
  await untilSeen(watcher, bot.userId, 'online')
  expect(history(watcher, ann.userId)).toEqual([])
  // What goes takes nothing with it that is another's.
  const { client: desk } = await stack.enter(ann.token)
  await untilSeen(watcher, ann.userId, 'online')
  script.close()
  expect((await desk.ask({ op: 'presence', status: 'idle' })).d).toMatchObject({ status: 'idle' })
  await untilSeen(watcher, ann.userId, 'idle')
  expect(statuses(watcher, ann.userId)).toEqual(['online', 'idle'])
})

test('presence changes that come too often are refused, and say when to come again', async () => {
  await using stack = await startStack({ config: { ...config, socket: { presences: { perSecond: 0.01, burst: 3 } } } })
  const { client } = await stack.enter((await stack.authority.member()).token)
  for (const status of ['idle', 'dnd', 'online']) expect((await client.ask({ op: 'presence', status })).ok).toBe(true)
  const { error } = await client.ask({ op: 'presence', status: 'idle' })
  expect(error.retryAfter).toBeGreaterThan(90)
  expect(error.status).toBe(429)
})

test('whoever is back in time has never been away; whoever is not is gone', async () => {
  await using stack = await startStack({ config: { presence: { ...quick, graceMs: 5_000 } } })
  const [ann, ben] = [await stack.authority.member(), await stack.authority.member()]
  const { client: watcher } = await stack.enter((await stack.authority.member()).token)
  const { client } = await enterAs(stack, ann.token, { status: 'dnd' })
  await untilSeen(watcher, ann.userId, 'dnd')
  const { client: other } = await stack.enter(ben.token)
  client.close()
  for (const status of ['idle', 'dnd', 'idle']) {
    // What has happened before that has been told by then.
    await other.ask({ op: 'presence', status })
    await untilSeen(watcher, ben.userId, status)
    const back = await enterAs(stack, ann.token, { status: 'dnd' })
    back.client.socket.close(4000)
  }
  await untilSeen(watcher, ann.userId, 'offline')
  expect(statuses(watcher, ann.userId)).toEqual(['dnd', 'offline'])
})

test('who is sent away is gone at once, also when they had just lost the connection', async () => {
  await using stack = await startStack({ config: { presence: { ...quick, graceMs: 60_000 } } })
  const [ann, ben, eve] = await Promise.all([1, 2, 3].map(() => stack.authority.member()))
  const { client: watcher } = await stack.enter((await stack.authority.member()).token)
  const { client } = await stack.enter(ann!.token)
  const lost = await stack.enter(ben!.token)
  const loggedOut = await stack.enter(eve!.token)
  for (const one of [ann, ben, eve]) await untilSeen(watcher, one!.userId, 'online')
  lost.client.close()
  await lost.client.code()
  await stack.authority.setGrant(ann!.userId, { standing: 'left' })
  await stack.authority.setGrant(ben!.userId, { standing: 'banned' })
  await stack.authority.revoke(eve!.sessionId, eve!.userId)
  for (const one of [ann, ben, eve]) await untilSeen(watcher, one!.userId, 'offline')
  await Promise.all([client.code(), loggedOut.client.code()])
  const frames = client.frames.length
  await stack.enter((await stack.authority.member()).token)
  expect(client.frames.length).toBe(frames)
})

test('the list goes by pages, by ids, with counts, for members alone', async () => {
  await using stack = await startStack({ config })
  const members = await Promise.all(Array.from({ length: 7 }, () => stack.authority.member()))
  const clients = await Promise.all(members.map(({ token }) => stack.enter(token)))
  await clients[0]!.client.ask({ op: 'presence', status: 'idle' })
  await clients[1]!.client.ask({ op: 'presence', status: 'dnd' })
  const { token } = members[0]!
  const counts = { total: 7, online: 5, idle: 1, dnd: 1 }
  await eventually(async () => Bun.deepEquals((await presences(stack, token)).counts, counts))
  const found: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: PresencePage = await presences(stack, token, `?limit=3${cursor ? `&cursor=${cursor}` : ''}`)
    expect(page.counts).toEqual(counts)
    found.push(...page.items.map(({ userId }) => userId))
    cursor = page.nextCursor
  }
  expect(found).toEqual(members.map(({ userId }) => userId).sort())
  const nobody = '01800000-0000-7000-8000-000000000000'
  const asked = await presences(stack, token, `?userIds=${members[1]!.userId},${nobody},${nobody}`)
  expect(asked.items.map(({ status }) => status)).toEqual(['offline', 'dnd'])
  expect(asked.nextCursor).toBeNull()
  const status = async (query: string, bearer?: string) =>
    (await fetch(`${stack.url}/v1/presences${query}`, { headers: bearer ? { authorization: `Bearer ${bearer}` } : {} }))
      .status
  expect(await status('')).toBe(401)
  expect(await status('?cursor=nonsense', token)).toBe(422)
  expect(await status('?userIds=nobody', token)).toBe(422)
  const { token: gone, userId } = await stack.authority.member()
  await stack.authority.setGrant(userId, { standing: 'left' })
  expect(await status('', gone)).toBe(403)
})

test('one frame tells no more than so many; the rest follow', async () => {
  await using stack = await startStack({ config: { presence: { ...quick, leaseMs: 60_000, maxPerFrame: 5 } } })
  const watching = await stack.authority.member()
  const { client: watcher } = await stack.enter(watching.token)
  await untilSeen(watcher, watching.userId, 'online')
  const before = presenceFrames(watcher).length
  const said = Array.from({ length: 23 }, (): SaidPresence => ({ u: newId(), s: 'online', c: null, t: 0 }))
  // In one breath, however busy the machine is.
  await tellAll(stack.bus, newId(), said)
  for (const { u } of said) await untilSeen(watcher, u, 'online')
  const told = presenceFrames(watcher).slice(before)
  expect(told.map((frame) => frame.d.presences.length)).toEqual([5, 5, 5, 5, 3])
})
