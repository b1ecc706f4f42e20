import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { AuditEvent } from '@conntext/contracts'
import type { Caller as CallerOf } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { Tails, type TailTimes } from '../src/audit/tail/service.ts'
import { type Analytics, make, startAnalytics } from './support/analytics.ts'
import type { Caller } from './support/system.ts'

let it: Analytics
beforeAll(async () => {
  it = await startAnalytics()
})
afterAll(() => it.system[Symbol.asyncDispose]())

/** Reads server-sent events. */
function readTail(response: Response) {
  const reader = response.body!.pipeThrough(new TextDecoderStream() as never).getReader()
  const heard: { id: string | undefined; event: string | undefined; data: string | undefined }[] = []
  const state = { ended: false, failed: false }
  void (async () => {
    let text = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) break
      text += value
      const blocks = text.split('\n\n')
      text = blocks.pop()!
      for (const block of blocks) {
        const field = (name: string) =>
          block
            .split('\n')
            .find((line) => line.startsWith(`${name}: `))
            ?.slice(name.length + 2)
        heard.push({ id: field('id'), event: field('event'), data: field('data') })
      }
    }
    state.ended = true
  })().catch(() => {
    state.failed = true
  })
  return {
    heard,
    state,
    ids: () => heard.filter(({ event }) => event === 'audit').map(({ data }) => (JSON.parse(data!) as AuditEvent).id),
    close: () => reader.cancel(),
  }
}

describe('GET /v1/audit/tail', () => {
  const follow = async (query: Record<string, string> = {}, caller: Caller = it.auditor, headers = {}) => {
    const response = await it.fetchRaw(`/v1/audit/tail?${new URLSearchParams(query)}`, caller, { headers })
    expect(response.status).toBe(200)
    const tail = readTail(response)
    await eventually(async () => tail.heard.length > 0)
    return tail
  }
  const marked = (action: string, count: number) => Array.from({ length: count }, () => make({ action }))

  test('tells of what is stored from now on and passes the filters, each once, in order, whichever instance stored it', async () => {
    const other = await it.system.another()
    const action = `tail.${newId().slice(-6)}`
    const tail = await follow({ action })
    const sent: AuditEvent[] = []
    for (const one of [it.system, other, it.system, other]) {
      const batch = marked(action, 3)
      await one.port.ingestAudit({ events: [...batch, make()] })
      await one.port.ingestAudit({ events: batch })
      sent.push(...batch)
    }
    await eventually(async () => tail.ids().length >= sent.length)
    expect(tail.ids()).toEqual(sent.map(({ id }) => id))
    expect(JSON.parse(tail.heard.find(({ event }) => event === 'audit')!.data!)).toEqual(sent[0])
    await tail.close()
    await other.service.stop()
  })

  test('resumes behind the last event that was read', async () => {
    const action = `tail.${newId().slice(-6)}`
    const first = await follow({ action })
    const [a, b] = [marked(action, 2), marked(action, 450)]
    await it.system.port.ingestAudit({ events: a })
    await eventually(async () => first.ids().length === 2)
    const lastId = first.heard.filter(({ event }) => event === 'audit').at(-1)!.id!
    await first.close()
    await it.system.port.ingestAudit({ events: b })
    const second = await follow({ action }, it.auditor, { 'last-event-id': lastId })
    await eventually(async () => second.ids().length >= 450)
    expect(second.ids()).toEqual(b.map(({ id }) => id))
    await second.close()
    for (const bad of ['x', '1', '1.2.3', "1.1' OR 1", '-1.0']) {
      const response = await it.fetchRaw('/v1/audit/tail', it.auditor, { headers: { 'last-event-id': bad } })
      expect(response.status).toBe(422)
    }
  })

  const REVOKED = { event: 'end', data: '{"reason":"revoked"}' }

  test('ends when the session ends', async () => {
    const one = await it.system.authority.member({ permissions: ['audit.view'] })
    const tail = await follow({}, one)
    await it.system.authority.revoke(one.sessionId, one.userId)
    await eventually(async () => tail.state.ended)
    expect(tail.heard.at(-1)).toMatchObject(REVOKED)
  })

  test('ends when the role is taken, when the role loses the permission, and nothing comes after', async () => {
    const { authority } = it.system
    const [one, other] = [await authority.member({ permissions: ['audit.view'] }), await it.system.member('audit.view')]
    const tails = { one: await follow({}, one), other: await follow({}, other!) }
    await authority.setGrant(one.userId, { roleIds: [] })
    await eventually(async () => tails.one.state.ended)
    expect(tails.other.state.ended).toBe(false)
    const role = authority.snapshot.roles.find(({ name }) => name === `role of ${other!.userId}`)!
    role.permissions = []
    await authority.changed()
    await eventually(async () => tails.other.state.ended)
    const late = make()
    await it.system.port.ingestAudit({ events: [late] })
    for (const tail of Object.values(tails)) {
      expect(tail.heard.at(-1)).toMatchObject(REVOKED)
      expect(tail.ids()).not.toContain(late.id)
    }
  })

  test('an API token follows within its scopes, and no longer than it is there', async () => {
    const { userId } = await it.system.authority.member({ permissions: ['audit.view'] })
    const wrong = it.system.authority.apiToken(userId, ['channel.view'])
    expect((await it.fetchRaw('/v1/audit/tail', { ...wrong, userId })).status).toBe(403)
    const right = it.system.authority.apiToken(userId, ['audit.view'])
    const tail = await follow({}, { ...right, userId })
    await it.system.authority.revoke(right.tokenId, userId)
    await eventually(async () => tail.state.ended)
    expect(tail.heard.at(-1)).toMatchObject(REVOKED)
  })

  describe('over time', () => {
    /** Follows with times that a test can wait for. */
    async function timed(times: Partial<TailTimes>) {
      const { userId, sessionId } = await it.system.authority.member({ permissions: ['audit.view'] })
      const where = { address: null, userAgent: null, reason: null, requestId: 'r' }
      const caller = { ...where, kind: 'user', userId, sessionId, scopes: null } as unknown as CallerOf
      const tails = new Tails(
        { ...it.system.deps, clock: it.system.clock, recorder: {} as never, nudge: () => {} },
        times,
      )
      await tails.notices.start()
      const response = await tails.follow(caller, { action: 'tail.timed' }, null, new AbortController().signal)
      return { tails, response }
    }

    test('a sign of life tells the place as well; and what follows is asked to come back', async () => {
      const { tails, response } = await timed({ heartbeatMs: 20, longestMs: 3_000 })
      const tail = readTail(response)
      await it.system.port.ingestAudit({ events: [make()] })
      await eventually(async () => tail.state.ended)
      const signs = tail.heard.filter(({ event }) => event === undefined)
      expect(signs.length).toBeGreaterThan(2)
      expect(Number(signs.at(-1)!.id!.split('.')[0])).toBeGreaterThan(Number(signs[0]!.id!.split('.')[0]))
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"renew"}' })
      await tails.stop()
    })

    test('whoever leaves unread what is there is cut off, and makes room', async () => {
      const { tails, response } = await timed({ patienceMs: 50, heartbeatMs: 20 })
      const reader = response.body!.getReader()
      await reader.read()
      await expect(reader.closed).rejects.toThrow('the reader was too slow')
      await tails.stop()
    })

    test('a service that is to stop lets go of who follows, before it waits for requests that are under way', async () => {
      const other = await it.system.another()
      const response = await other.service.app.handle(
        new Request('http://localhost/v1/audit/tail', { headers: { authorization: `Bearer ${it.auditor!.token}` } }),
      )
      const tail = readTail(response)
      await eventually(async () => tail.heard.length > 0)
      other.service.drain?.()
      await eventually(async () => tail.state.ended)
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"stopping"}' })
      await other.service.stop()
    })

    test('a server that stops says so', async () => {
      const { tails, response } = await timed({})
      const tail = readTail(response)
      await eventually(async () => tail.heard.length > 0)
      await tails.stop()
      await eventually(async () => tail.state.ended)
      expect(tail.heard.at(-1)).toMatchObject({ event: 'end', data: '{"reason":"stopping"}' })
    })
  })

  test('each has a few, everybody together a bounded number', async () => {
    const one = await it.system.member('audit.view')
    const tails = await Promise.all([1, 2, 3, 4, 5].map(() => follow({}, one)))
    expect((await it.fetchRaw('/v1/audit/tail', one)).status).toBe(429)
    await tails[0]!.close()
    const again = await follow({}, one)
    for (const tail of [...tails.slice(1), again]) await tail.close()
  })

  test('is recorded', async () => {
    const one = await it.system.member('audit.view')
    const tail = await follow({ action: 'x.*' }, one)
    const recorded = await eventually(async () =>
      (await it.system.trail('audit.followed')).find(({ actor }) => actor.id === one!.userId),
    )
    expect(recorded.data).toEqual({ filters: ['action'] })
    await tail.close()
  })
})
