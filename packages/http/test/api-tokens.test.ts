import { describe, expect, test } from 'bun:test'
import { createMemoryBus } from '@conntext/bus'
import { type AuthPort, newApiToken, type Permission } from '@conntext/contracts'
import { newId, silentLogger } from '@conntext/kernel'
import { testAuthority } from '@conntext/testing'
import { Elysia } from 'elysia'
import { ApiTokens, access, baseApp, Guard, inScope } from '../src/index.ts'
import { request, startGuard } from './support/app.ts'
import { testClock } from './support/clock.ts'

type Known = Awaited<ReturnType<AuthPort['identifyToken']>>

/** Tokens that auth knows, and which it was asked about. */
function start(kept?: number) {
  const clock = testClock()
  const known = new Map<string, Known>()
  const asked: string[] = []
  const it = { away: false }
  const tokens = new ApiTokens({
    clock,
    ...(kept === undefined ? {} : { kept }),
    async identifyToken({ token }) {
      asked.push(token)
      if (it.away) throw new Error('auth is away')
      return known.get(token) ?? null
    },
  })
  const make = () => {
    const token = newApiToken()
    known.set(token, { tokenId: newId(), userId: newId(), scopes: [], expiresAt: null })
    return token
  }
  return Object.assign(it, { clock, known, asked, tokens, make })
}

describe('an API token', () => {
  test('that is none by its form is nobody asked about', async () => {
    const it = start()
    const token = newApiToken()
    for (const text of ['conntext_', `${token.slice(0, -1)}-`, token.slice(1), `${token}x`, 'conntext_x'.repeat(50)]) {
      expect(await it.tokens.find(text)).toBeNull()
    }
    expect(it.asked).toEqual([])
  })

  test('is asked about once in a minute, however many ask, be it good or not', async () => {
    const it = start()
    const [good, bad] = [it.make(), newApiToken()]
    const find = () => Promise.all([good, good, good, bad, bad].map((token) => it.tokens.find(token)))
    for (let round = 0; round < 2; round += 1) {
      expect((await find()).map((found) => found !== null)).toEqual([true, true, true, false, false])
      it.clock.advance(59_999)
      await find()
      expect(it.asked).toEqual(Array.from({ length: round + 1 }, () => [good, bad]).flat())
      it.clock.advance(1)
    }
  })

  test('that is gone is not known for longer than that', async () => {
    const it = start()
    const token = it.make()
    expect(await it.tokens.find(token)).not.toBeNull()
    it.known.clear()
    it.clock.advance(60_000)
    expect(await it.tokens.find(token)).toBeNull()
    expect(await it.tokens.find(token)).toBeNull()
    expect(it.asked).toHaveLength(2)
  })

  test('is asked about anew after the clock was set back', async () => {
    const it = start()
    const token = it.make()
    await it.tokens.find(token)
    it.known.delete(token)
    it.clock.advance(-86_400_000)
    expect(await it.tokens.find(token)).toBeNull()
  })

  test('that is good is not forgotten for those that are made up; only so many are remembered', async () => {
    const it = start(3)
    const good = [it.make(), it.make(), it.make()]
    for (const token of good) await it.tokens.find(token)
    const made = Array.from({ length: 100 }, newApiToken)
    for (const token of made) await it.tokens.find(token)
    it.asked.length = 0
    for (const token of good) expect(await it.tokens.find(token)).not.toBeNull()
    expect(it.asked).toEqual([])
    await it.tokens.find(made[0]!)
    await it.tokens.find(it.make())
    await it.tokens.find(good[0]!)
    expect(it.asked).toHaveLength(3)
  })

  test('that nobody could be asked about is asked about again', async () => {
    const it = start()
    const token = it.make()
    it.away = true
    await expect(it.tokens.find(token)).rejects.toThrow('away')
    it.away = false
    expect(await it.tokens.find(token)).not.toBeNull()
  })
})

describe('a guard', () => {
  async function guards(count: number, port: (port: AuthPort) => Partial<AuthPort> = () => ({})) {
    const bus = createMemoryBus(silentLogger)
    const authority = await testAuthority(bus)
    const clock = testClock(Date.now())
    const auth = { ...authority.port, ...port(authority.port as AuthPort) }
    const all = Array.from({ length: count }, () => new Guard({ auth, bus, log: silentLogger, clock }))
    for (const guard of all) await guard.start()
    return {
      all,
      authority,
      clock,
      [Symbol.asyncDispose]: async () => void (await Promise.all(all.map((guard) => guard.stop()))),
    }
  }

  test('knows by it who comes, for what, and for how long', async () => {
    await using it = await guards(1)
    const [guard] = it.all
    const { userId } = await it.authority.member()
    const lasting = it.authority.apiToken(userId, ['channel.view'])
    expect(await guard!.identify(lasting.token)).toEqual({
      userId,
      sessionId: lasting.tokenId,
      kind: 'user',
      scopes: ['channel.view'],
      expiresAt: Number.POSITIVE_INFINITY,
    })
    const ending = it.authority.apiToken(userId, [], new Date(it.clock.now().getTime() + 1_000).toISOString())
    expect(await guard!.identify(ending.token)).toBeDefined()
    it.clock.advance(1_000)
    expect(await guard!.identify(ending.token)).toBeUndefined()
  })

  test('and every other one refuses it as soon as it is revoked', async () => {
    await using it = await guards(2)
    const { userId } = await it.authority.member()
    const [gone, kept] = [it.authority.apiToken(userId, []), it.authority.apiToken(userId, [])]
    const known = (token: string) =>
      Promise.all(it.all.map(async (guard) => (await guard.identify(token)) !== undefined))
    expect(await known(gone.token)).toEqual([true, true])
    await it.authority.revoke(gone.tokenId, userId)
    expect(await known(gone.token)).toEqual([false, false])
    expect(await known(kept.token)).toEqual([true, true])
  })

  test('does not take one that is revoked while it is looked up', async () => {
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await using it = await guards(1, (port) => ({
      async identifyToken(query) {
        const found = await port.identifyToken(query)
        asked.resolve()
        await answered.promise
        return found
      },
    }))
    const { userId } = await it.authority.member()
    const { token, tokenId } = it.authority.apiToken(userId, [])
    const identifying = it.all[0]!.identify(token)
    await asked.promise
    await it.authority.revoke(tokenId, userId)
    answered.resolve()
    expect(await identifying).toBeUndefined()
  })

  test('learns of a revocation that nobody heard of when it asks', async () => {
    await using it = await guards(1)
    const [guard] = it.all
    const { userId } = await it.authority.member()
    const { token, tokenId } = it.authority.apiToken(userId, [])
    const heard: string[] = []
    guard!.onRevoked(({ sessionId }) => heard.push(sessionId))
    expect(await guard!.identify(token)).toBeDefined()
    it.authority.revokeSilently(tokenId)
    expect(await guard!.identify(token)).toBeDefined()
    await guard!.learnRevocations()
    expect(await guard!.identify(token)).toBeUndefined()
    expect(heard).toEqual([tokenId])
  })

  test('allows within its scopes what its bearer may, and no more', async () => {
    await using it = await guards(1)
    const [guard] = it.all
    const { userId } = await it.authority.member({ permissions: ['role.manage', 'member.ban'] })
    const allowed = async (scopes: Permission[] | null) => {
      const asked = ['role.manage', 'member.ban', 'member.kick'] as const
      const answers = await Promise.all(asked.map((permission) => guard!.allows({ userId, scopes }, permission)))
      return asked.filter((_, index) => answers[index])
    }
    expect(await allowed(null)).toEqual(['role.manage', 'member.ban'])
    expect(await allowed(['role.manage', 'member.kick'])).toEqual(['role.manage'])
    expect(await allowed(['administrator'])).toEqual(['role.manage', 'member.ban'])
    expect(await allowed([])).toEqual([])
  })
})

test('in scope is everything for who is logged in or has a token for everything, else what the token says', () => {
  const asked = (scopes: Permission[] | null) => [
    inScope({ scopes }, 'media.attach'),
    inScope({ scopes }, 'channel.view'),
  ]
  expect(asked(null)).toEqual([true, true])
  expect(asked(['administrator'])).toEqual([true, true])
  expect(asked(['channel.view'])).toEqual([false, true])
  expect(asked([])).toEqual([false, false])
})

describe('a route', () => {
  async function routes() {
    const guarded = await startGuard()
    const app = baseApp({ log: silentLogger }).use(
      new Elysia({ normalize: false })
        .use(access(guarded))
        .get('/v1/self', () => 'me', { can: 'self' })
        .get('/v1/account', () => 'mine', { can: 'account' })
        .get('/v1/members', () => 'all', { can: 'member' })
        .get('/v1/roles', ({ caller }) => ({ ...caller }), { can: 'role.manage' }),
    )
    const get = async (path: string, token: string) => {
      const answer = await app.handle(request(path, { method: 'GET', token }))
      return answer.status === 200 ? 200 : ((await answer.json()) as { code: string }).code
    }
    return { ...guarded, app, get, [Symbol.asyncDispose]: () => guarded.guard.stop() }
  }

  test('of the account is for no API token; of oneself and of all members for every one; with a permission for those with the scope', async () => {
    await using it = await routes()
    const { userId, token } = await it.authority.member({ permissions: ['role.manage'] })
    const at = async (bearer: string) =>
      Promise.all(['/v1/self', '/v1/account', '/v1/members', '/v1/roles'].map((path) => it.get(path, bearer)))
    const byToken = (...scopes: Permission[]) => at(it.authority.apiToken(userId, scopes).token)
    expect(await at(token)).toEqual([200, 200, 200, 200])
    expect(await byToken('administrator')).toEqual([200, 'access.notForTokens', 200, 200])
    expect(await byToken('role.manage')).toEqual([200, 'access.notForTokens', 200, 200])
    expect(await byToken('member.ban')).toEqual([200, 'access.notForTokens', 200, 'access.forbidden'])
    await it.authority.setGrant(userId, { roleIds: [] })
    expect(await byToken('role.manage')).toEqual([200, 'access.notForTokens', 200, 'access.forbidden'])
  })

  test('of oneself or the account is for those as well who have left or lack a second factor, and nothing else is', async () => {
    await using it = await routes()
    const [gone, owner] = [await it.authority.member(), await it.authority.member({ owner: true })]
    const at = async (bearer: string) =>
      Promise.all(['/v1/self', '/v1/account', '/v1/members', '/v1/roles'].map((path) => it.get(path, bearer)))
    await it.authority.setGrant(gone.userId, { standing: 'left' })
    expect(await at(gone.token)).toEqual([200, 200, 'access.notAMember', 'access.notAMember'])
    await it.authority.setGrant(gone.userId, { standing: 'active' })
    it.authority.snapshot.server.requireMfa = true
    await it.authority.changed()
    expect(await at(gone.token)).toEqual([200, 200, 'access.mfaRequired', 'access.mfaRequired'])
    expect(await at(it.authority.apiToken(gone.userId, ['administrator']).token)).toEqual([
      200,
      'access.notForTokens',
      'access.mfaRequired',
      'access.mfaRequired',
    ])
    expect(await at(owner.token)).toEqual([200, 200, 200, 200])
    await it.authority.setGrant(gone.userId, { mfa: true })
    expect(await at(gone.token)).toEqual([200, 200, 200, 'access.forbidden'])
    await it.authority.setGrant(gone.userId, { standing: 'banned' })
    expect(await at(gone.token)).toEqual(Array(4).fill('access.unauthenticated'))
    expect(await at('')).toEqual(Array(4).fill('access.unauthenticated'))
  })
})
