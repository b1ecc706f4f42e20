import { describe, expect, test } from 'bun:test'
import { type Bus, createMemoryBus } from '@conntext/bus'
import { type AuthPort, type Permission, subjects } from '@conntext/contracts'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually, testAuthority } from '@conntext/testing'
import { Guard } from '../src/index.ts'
import { testClock } from './support/clock.ts'

type Port = Pick<AuthPort, 'authority' | 'grant' | 'keys' | 'revokedSessions' | 'identifyToken'>

/** A guard over the tests' auth port, a bus that can lose messages, and how often each answer was asked for. */
async function start(change: (port: Port) => Partial<Port> = () => ({})) {
  const memory = createMemoryBus(silentLogger)
  const gaps = new Set<() => void>()
  const it = { deaf: false, asked: { authority: 0, grant: 0, keys: 0, revokedSessions: 0, identifyToken: 0 } }
  const bus: Bus = {
    ...memory,
    publish: (subject, payload) => (it.deaf ? Promise.resolve() : memory.publish(subject, payload)),
    announce: (subject, payload) => (it.deaf ? Promise.resolve() : memory.publish(subject, payload)),
    onGap(listener) {
      gaps.add(listener)
      return async () => void gaps.delete(listener)
    },
  }
  const authority = await testAuthority(bus)
  const port = { ...authority.port, ...change(authority.port) }
  const counted = Object.fromEntries(
    Object.entries(port).map(([name, run]) => [
      name,
      (input: never) => {
        it.asked[name as keyof typeof it.asked] += 1
        return (run as (input: never) => unknown)(input)
      },
    ]),
  ) as unknown as Port
  // Tokens are made at the time of the machine, so the clock begins there.
  const clock = testClock(Date.now())
  const guard = new Guard({ auth: counted, bus, log: silentLogger, clock })
  await guard.start()
  return Object.assign(it, {
    authority,
    bus,
    clock,
    guard,
    gaps,
    gap: () => gaps.forEach((listener) => void listener()),
    [Symbol.asyncDispose]: () => guard.stop(),
  })
}

describe('identity', () => {
  test('comes with a good token', async () => {
    await using it = await start()
    const { userId, sessionId, token } = await it.authority.member()
    const identity = await it.guard.identify(token)
    expect(identity).toMatchObject({ userId, sessionId, kind: 'user' })
    expect(identity!.expiresAt).toBeGreaterThan(Date.now())
  })

  test('ends with the token, also when it is remembered', async () => {
    await using it = await start()
    const { token } = await it.authority.member({ expiresIn: 10 })
    expect(await it.guard.identify(token)).toBeDefined()
    it.clock.advance(11_000)
    expect(await it.guard.identify(token)).toBeUndefined()
  })

  test.each(['banned', 'deleted'] as const)('ends at once with an account that is %s', async (standing) => {
    await using it = await start()
    const { userId, token } = await it.authority.member()
    expect(await it.guard.identify(token)).toBeDefined()
    await it.authority.setGrant(userId, { standing })
    expect(await it.guard.identify(token)).toBeUndefined()
  })

  test('stays with an account that has left, and is good for nothing that members do', async () => {
    await using it = await start()
    const { userId, sessionId, token } = await it.authority.member({ permissions: ['administrator'] })
    expect(await it.guard.allows({ userId }, 'message.send')).toBe(true)
    await it.authority.setGrant(userId, { standing: 'left' })
    expect(await it.guard.identify(token)).toMatchObject({ userId, sessionId })
    expect(await it.guard.allows({ userId }, 'message.send')).toBe(false)
  })

  test('is nobody for an account that nobody has', async () => {
    await using it = await start((port) => ({ grant: async () => null, keys: port.keys }))
    const { token } = await it.authority.member()
    expect(await it.guard.identify(token)).toBeUndefined()
  })

  test('ends at once with the session, and listeners hear of it', async () => {
    await using it = await start()
    const { userId, sessionId, token } = await it.authority.member()
    const other = await it.authority.member()
    const heard: unknown[] = []
    it.guard.onRevoked((revocation) => heard.push(revocation))
    expect(await it.guard.identify(token)).toBeDefined()
    await it.authority.revoke(sessionId, userId)
    expect(await it.guard.identify(token)).toBeUndefined()
    expect(await it.guard.identify(other.token)).toBeDefined()
    await it.authority.revoke(sessionId, userId)
    expect(heard).toEqual([{ sessionId }])
  })

  test('is not given to a session that ends while it is looked up', async () => {
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    await using it = await start((port) => ({
      grant: async (query) => {
        asked.resolve()
        await gate.promise
        return port.grant(query)
      },
    }))
    const { userId, sessionId, token } = await it.authority.member()
    const identifying = it.guard.identify(token)
    await asked.promise
    await it.authority.revoke(sessionId, userId)
    gate.resolve()
    expect(await identifying).toBeUndefined()
  })

  test('of sessions that ended before the start is refused', async () => {
    const ended: string[] = []
    await using it = await start(() => ({
      revokedSessions: async () => ({ sessions: ended.map((id) => ({ id, revokedAt: new Date().toISOString() })) }),
    }))
    const { sessionId, token } = await it.authority.member()
    ended.push(sessionId)
    const late = new Guard({
      auth: { ...it.authority.port, revokedSessions: async () => ({ sessions: [{ id: sessionId, revokedAt: '' }] }) },
      bus: it.bus,
      log: silentLogger,
    })
    await late.start()
    expect(await it.guard.identify(token)).toBeDefined()
    expect(await late.identify(token)).toBeUndefined()
    await late.stop()
  })
})

describe('what the guard remembers', () => {
  test('is asked for once, however many ask', async () => {
    await using it = await start()
    const { userId, token } = await it.authority.member()
    await Promise.all(Array.from({ length: 20 }, () => it.guard.identify(token)))
    await Promise.all(Array.from({ length: 20 }, () => it.guard.allows({ userId: userId }, 'message.send')))
    expect(it.asked).toEqual({ authority: 1, grant: 1, keys: 1, revokedSessions: 1, identifyToken: 0 })
  })

  test('changes as soon as the bus says so: roles, channels, a member', async () => {
    await using it = await start()
    const { userId } = await it.authority.member()
    const channel = await it.authority.channel()
    expect(await it.guard.allows({ userId: userId }, 'channel.view', channel.id)).toBe(true)
    it.authority.snapshot.roles[0]!.permissions = []
    await it.authority.changed()
    expect(await it.guard.allows({ userId: userId }, 'channel.view', channel.id)).toBe(false)
    it.authority.snapshot.ownerId = userId
    await it.authority.changed()
    expect(await it.guard.allows({ userId: userId }, 'channel.view', channel.id)).toBe(true)
    await it.authority.setGrant(userId, { standing: 'left' })
    expect(await it.guard.allows({ userId: userId }, 'channel.view', channel.id)).toBe(false)
  })

  test('is never older than a change, also when an older answer is still on its way', async () => {
    const old = Promise.withResolvers<void>()
    let calls = 0
    await using it = await start((port) => ({
      authority: async () => {
        calls += 1
        const answer = await port.authority({})
        if (calls === 1) await old.promise
        return answer
      },
    }))
    const { userId } = await it.authority.member()
    const before = it.guard.allows({ userId: userId }, 'message.send')
    await Bun.sleep(0)
    it.authority.snapshot.roles[0]!.permissions = []
    await it.authority.changed()
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(false)
    old.resolve()
    expect(await before).toBe(true)
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(false)
  })

  test('lasts a minute at the most when the bus loses the news', async () => {
    await using it = await start()
    const { userId } = await it.authority.member()
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(true)
    it.deaf = true
    await it.authority.setGrant(userId, { standing: 'banned' })
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(true)
    it.clock.advance(60_000)
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(false)
  })
})

describe('after a gap on the bus', () => {
  test('everything is asked for anew, also which sessions have ended', async () => {
    const ended: string[] = []
    await using it = await start(() => ({
      revokedSessions: async () => ({ sessions: ended.map((id) => ({ id, revokedAt: '' })) }),
    }))
    const one = await it.authority.member()
    const two = await it.authority.member()
    expect(await it.guard.identify(one.token)).toBeDefined()
    expect(await it.guard.identify(two.token)).toBeDefined()
    it.deaf = true
    await it.authority.setGrant(one.userId, { standing: 'banned' })
    it.authority.snapshot.roles[0]!.permissions = []
    ended.push(two.sessionId)
    const heard: unknown[] = []
    it.guard.onRevoked((session) => heard.push(session))
    it.gap()
    expect(await it.guard.identify(one.token)).toBeUndefined()
    expect(await it.guard.allows({ userId: two.userId }, 'message.send')).toBe(false)
    await eventually(() => heard.length > 0)
    expect(heard).toEqual([{ sessionId: two.sessionId }])
    expect(await it.guard.identify(two.token)).toBeUndefined()
  })

  test('listeners are told, and find no old answer', async () => {
    await using it = await start()
    const { userId } = await it.authority.member()
    expect(await it.guard.allows({ userId: userId }, 'message.send')).toBe(true)
    it.deaf = true
    await it.authority.setGrant(userId, { standing: 'banned' })
    const found = Promise.withResolvers<boolean>()
    it.guard.onChange(() => found.resolve(it.guard.allows({ userId: userId }, 'message.send')))
    it.gap()
    expect(await found.promise).toBe(false)
  })

  test('that it cannot ask about yet, it goes on and asks again', async () => {
    const it = { away: false, ended: [] as string[] }
    await using guarded = await start(() => ({
      revokedSessions: async () => {
        if (it.away) throw new Error('away')
        return { sessions: it.ended.map((id) => ({ id, revokedAt: '' })) }
      },
    }))
    const { sessionId, token } = await guarded.authority.member()
    it.away = true
    it.ended.push(sessionId)
    guarded.gap()
    await eventually(() => guarded.asked.revokedSessions === 2)
    expect(await guarded.guard.identify(token)).toBeDefined()
    it.away = false
    await eventually(async () => (await guarded.guard.identify(token)) === undefined)
  })
})

test('listeners hear what changed until they leave', async () => {
  await using it = await start()
  const heard: unknown[] = []
  const leave = it.guard.onChange((change) => heard.push(change))
  const userId = newId()
  await it.bus.publish(subjects.authority, JSON.stringify({ userId }))
  await it.bus.publish(subjects.authority, '{}')
  leave()
  await it.bus.publish(subjects.authority, '{}')
  expect(heard).toEqual([{ userId }, {}])
})

test('a guard that has stopped listens no more', async () => {
  await using it = await start()
  const heard: unknown[] = []
  it.guard.onChange((change) => heard.push(change))
  await it.guard.stop()
  await it.bus.publish(subjects.authority, '{}')
  expect(heard).toEqual([])
  expect(it.gaps.size).toBe(0)
})

test('a guard that could not start listens to nothing, and can be started again', async () => {
  let away = true
  const bus = createMemoryBus(silentLogger)
  const authority = await testAuthority(bus)
  const { port } = authority
  const guard = new Guard({
    auth: {
      ...port,
      revokedSessions: (query) => (away ? Promise.reject(new Error('away')) : port.revokedSessions(query)),
    },
    bus,
    log: silentLogger,
  })
  const heard: unknown[] = []
  guard.onChange((change) => heard.push(change))
  await expect(guard.start()).rejects.toThrow('away')
  await bus.publish(subjects.authority, '{}')
  expect(heard).toEqual([])
  away = false
  await guard.start()
  await bus.publish(subjects.authority, '{}')
  expect(heard).toEqual([{}])
  expect(await guard.identify((await authority.member()).token)).toBeDefined()
  await guard.stop()
})

describe('conversations', () => {
  test('a guard that knows them asks for what is no channel, within standing, timeout and scopes; others know nothing', async () => {
    const bus = createMemoryBus(silentLogger)
    const authority = await testAuthority(bus)
    const guard = new Guard({ auth: authority.port, bus, log: silentLogger })
    await guard.start()
    const [anna, owner] = [await authority.member(), await authority.member({ owner: true })]
    const channel = await authority.channel()
    const conversation = newId()
    const asked: string[] = []
    const knowing = guard.withConversations(async (id, userId) => {
      asked.push(id)
      return id === conversation && userId === anna.userId
    })
    const may = (who: { userId: string }, permission: Permission, id = conversation) =>
      knowing.allows(who, permission, id)
    expect(await may(anna, 'message.pin')).toBe(true)
    expect(await may(anna, 'message.manage')).toBe(false)
    expect(await may(owner, 'channel.view')).toBe(false)
    expect(await may(anna, 'channel.view', newId())).toBe(false)
    expect(await guard.allows(anna, 'channel.view', conversation)).toBe(false)
    const scoped = { ...anna, scopes: ['channel.view'] as const }
    expect([await may(scoped, 'channel.view'), await may(scoped, 'message.send')]).toEqual([true, false])
    asked.length = 0
    expect([await may(anna, 'message.pin', channel.id), await knowing.allows(anna, 'media.attach')]).toEqual([
      false,
      true,
    ])
    expect(asked).toEqual([])
    await authority.setGrant(anna.userId, { timedOutUntil: '2999-01-01T00:00:00.000Z' })
    expect([await may(anna, 'message.history'), await may(anna, 'message.send')]).toEqual([true, false])
    await authority.setGrant(anna.userId, { standing: 'banned' })
    expect(await may(anna, 'channel.view')).toBe(false)
    await authority.setGrant(anna.userId, { standing: 'active', timedOutUntil: null })
    authority.snapshot.server.requireMfa = true
    await authority.changed()
    expect(await may(anna, 'channel.view')).toBe(false)
    await guard.stop()
  })
})
