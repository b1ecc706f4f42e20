import { describe, expect, test } from 'bun:test'
import { authIdempotencyKeys } from '@conntext/db-server-details'
import { type IdempotencyStore, idempotencyStore } from '@conntext/idempotency'
import { AppError, silentLogger } from '@conntext/kernel'
import { testServerDetails } from '@conntext/testing'
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { access, baseApp, idempotency } from '../src/index.ts'
import { recordingLogger, request, startGuard } from './support/app.ts'

const key = Buffer.alloc(32, 7)
const Body = Type.Object({ name: Type.String({ minLength: 1 }) }, { additionalProperties: false })
const Made = Type.Object({ id: Type.String(), name: Type.String() }, { additionalProperties: false })

/** An app whose handler counts its runs and does what the test says, over a real table. */
async function start(options: { store?: (real: IdempotencyStore) => IdempotencyStore } = {}) {
  const databases = await testServerDetails()
  const { lines, log } = recordingLogger()
  const real = idempotencyStore({ db: databases.auth, table: authIdempotencyKeys, log: silentLogger })
  const store = options.store?.(real) ?? real
  const it = { runs: 0, work: async () => {} }
  const guarded = await startGuard()
  const app = () =>
    baseApp({ log }).use(
      new Elysia({ normalize: false })
        .use(access({ ...guarded, idempotency: idempotency({ store, key: () => key, log }) }))
        .post(
          '/v1/things',
          async ({ body, status, set }) => {
            it.runs += 1
            await it.work()
            set.headers.location = '/v1/things/1'
            return status(201, { id: `thing ${it.runs}`, name: body.name })
          },
          { can: 'channel.manage', idempotent: true, parse: 'json', body: Body, response: { 201: Made } },
        )
        .post('/v1/empty', ({ status }) => status(204, undefined), { can: 'member', idempotent: true }),
    )
  const member = await guarded.authority.member({ permissions: ['channel.manage'] })
  const first = app()
  return Object.assign(it, {
    ...guarded,
    databases,
    lines,
    member,
    another: app(),
    async send(sending: Parameters<typeof request>[1] & { key?: string; path?: string; app?: typeof first } = {}) {
      const { key = 'a-key', path = '/v1/things', app = first, ...rest } = sending
      const headers = { 'idempotency-key': key, ...rest.headers }
      return app.handle(request(path, { token: member.token, body: { name: 'a' }, ...rest, headers }))
    },
    async [Symbol.asyncDispose]() {
      await guarded.guard.stop()
      await databases[Symbol.asyncDispose]()
    },
  })
}

const fails = (status: number) => async () => {
  throw new AppError('thing.broken', status, 'Broken')
}
const code = async (response: Response) => ((await response.json()) as { code: string }).code

describe('a repeat', () => {
  test('answers what the first did, and runs nothing', async () => {
    await using it = await start()
    const first = await it.send()
    const repeat = await it.send()
    expect([first.status, repeat.status]).toEqual([201, 201])
    expect(await repeat.text()).toBe(await first.text())
    expect(repeat.headers.get('content-type')).toBe(first.headers.get('content-type'))
    expect(repeat.headers.get('location')).toBe('/v1/things/1')
    expect([first, repeat].map((one) => one.headers.get('idempotency-replayed'))).toEqual([null, 'true'])
    expect(it.runs).toBe(1)
  })

  test('is answered by another instance too', async () => {
    await using it = await start()
    const first = await it.send()
    const repeat = await it.send({ app: it.another })
    expect(await repeat.text()).toBe(await first.text())
    expect(it.runs).toBe(1)
  })

  test('of an answer without a body is answered without one', async () => {
    await using it = await start()
    await it.send({ path: '/v1/empty' })
    const repeat = await it.send({ path: '/v1/empty' })
    expect(repeat.status).toBe(204)
    expect(repeat.headers.get('idempotency-replayed')).toBe('true')
    expect(await repeat.text()).toBe('')
  })

  test.each([404, 409, 410, 422])('of a final %p answers it again', async (status) => {
    await using it = await start()
    it.work = fails(status)
    const first = await it.send()
    const repeat = await it.send()
    expect([first.status, repeat.status]).toEqual([status, status])
    expect(repeat.headers.get('content-type')).toBe('application/problem+json')
    expect(await repeat.text()).toBe(await first.text())
    expect(it.runs).toBe(1)
  })

  test.each([401, 403, 429, 503])('of a %p runs afresh', async (status) => {
    await using it = await start()
    it.work = fails(status)
    expect((await it.send()).status).toBe(status)
    it.work = async () => {}
    expect((await it.send()).status).toBe(201)
    expect(it.runs).toBe(2)
  })

  test('of a failure of ours runs afresh', async () => {
    await using it = await start()
    it.work = async () => {
      throw new Error('a bug')
    }
    expect((await it.send()).status).toBe(500)
    it.work = async () => {}
    expect((await it.send()).status).toBe(201)
  })

  test('while the first is under way is a 409 that says when to come back, and runs nothing', async () => {
    await using it = await start()
    const entered = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    it.work = () => {
      entered.resolve()
      return gate.promise
    }
    const first = it.send()
    await entered.promise
    const repeat = await it.send({ app: it.another })
    expect(repeat.status).toBe(409)
    expect(repeat.headers.get('retry-after')).toBe('1')
    expect(await code(repeat)).toBe('idempotency.underWay')
    gate.resolve()
    expect((await first).status).toBe(201)
    expect((await it.send()).headers.get('idempotency-replayed')).toBe('true')
    expect(it.runs).toBe(1)
  })

  test('with another body is a mismatch; with the same fields written otherwise it is not', async () => {
    await using it = await start()
    await it.send()
    const other = await it.send({ body: { name: 'b' } })
    expect(other.status).toBe(422)
    expect(await code(other)).toBe('idempotency.mismatch')
    expect((await it.send({ body: '{ "name" : "a" }' })).status).toBe(201)
    expect(it.runs).toBe(1)
  })
})

describe('a key', () => {
  test('belongs to its caller and its path', async () => {
    await using it = await start()
    await it.send()
    const other = await it.authority.member({ permissions: ['channel.manage'] })
    const theirs = await it.send({ token: other.token })
    expect(theirs.status).toBe(201)
    expect(theirs.headers.get('idempotency-replayed')).toBeNull()
    expect((await it.send({ path: '/v1/empty' })).status).toBe(204)
    expect(it.runs).toBe(2)
  })

  test('is not needed: without one every request runs', async () => {
    await using it = await start()
    const plain = () => it.another.handle(request('/v1/things', { token: it.member.token, body: { name: 'a' } }))
    expect([(await plain()).status, (await plain()).status]).toEqual([201, 201])
    expect(it.runs).toBe(2)
  })

  test.each([
    ['too long', 'x'.repeat(256)],
    ['with a space', 'a b'],
    ['empty', ''],
    ['not ASCII', 'clé'],
  ])('%s is refused', async (_, malformed) => {
    await using it = await start()
    const answer = await it.send({ key: malformed })
    expect(answer.status).toBe(422)
    expect(await answer.json()).toMatchObject({
      code: 'request.invalid',
      errors: [{ path: '/headers/idempotency-key' }],
    })
    expect(it.runs).toBe(0)
  })

  test('of 255 visible characters is taken', async () => {
    await using it = await start()
    expect((await it.send({ key: '~'.repeat(255) })).status).toBe(201)
  })

  test('of an invalid request is not used up', async () => {
    await using it = await start()
    expect((await it.send({ body: { name: '' } })).status).toBe(422)
    expect((await it.send()).status).toBe(201)
  })
})

describe('a replay', () => {
  test('needs the permission again', async () => {
    await using it = await start()
    await it.send()
    await it.authority.setGrant(it.member.userId, { roleIds: [] })
    expect((await it.send()).status).toBe(403)
    await it.authority.setGrant(it.member.userId, { standing: 'banned' })
    expect((await it.send()).status).toBe(401)
  })

  test('tells nothing to whoever reads the table', async () => {
    await using it = await start()
    await it.send({ body: { name: 'the secret name' }, key: 'the-telling-key' })
    const [row] = await it.databases.auth.select().from(authIdempotencyKeys)
    expect(row?.answer?.length).toBeGreaterThan(0)
    const raw = JSON.stringify(row, (_, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    )
    for (const secret of ['the secret name', 'the-telling-key', 'thing 1']) expect(raw).not.toContain(secret)
  })
})

test('an answer that could not be kept is given all the same, and the log says so without it', async () => {
  await using it = await start({
    store: (real) => ({
      ...real,
      keep: async () => {
        throw new Error('away')
      },
    }),
  })
  expect((await it.send({ body: { name: 'quiet' } })).status).toBe(201)
  expect(it.lines.join()).toContain('could not be kept')
  expect(it.lines.join()).not.toContain('quiet')
})

test('a route cannot be idempotent without a store or without a caller', async () => {
  await using it = await start()
  const { guard, refused } = it
  const options = { idempotent: true } as const
  expect(() => new Elysia().use(access({ guard, refused })).post('/v1/x', () => 'x', options)).toThrow('idempotent')
  const keys = idempotency({ store: {} as IdempotencyStore, key: () => key, log: silentLogger })
  const open = baseApp({ log: silentLogger }).use(
    new Elysia()
      .use(access({ guard, refused, idempotency: keys }))
      .post('/v1/x', () => 'x', { public: true, ...options }),
  )
  expect((await open.handle(request('/v1/x', { headers: { 'idempotency-key': 'k' } }))).status).toBe(500)
})
