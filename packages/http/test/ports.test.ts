import { describe, expect, test } from 'bun:test'
import { definePort, Fields, type PortOf } from '@conntext/contracts'
import { AppError, defineErrors, silentLogger } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'
import { copyOf } from '../src/direct-calls.ts'
import { callPort, servePort, type Transport } from '../src/index.ts'
import { recordingLogger, request } from './support/app.ts'

const table = definePort({
  service: 'greeter',
  operations: {
    greet: {
      request: Fields({ name: Type.String({ minLength: 1 }) }),
      response: Fields({ text: Type.String() }),
    },
    nothing: { request: Fields({}), response: Type.Union([Type.Null(), Type.String()]) },
  },
})
const greeting = defineErrors('greeting', {
  refused: { status: 409, title: 'Not that one' },
  away: { status: 503, title: 'Out for lunch' },
})

type Greeter = PortOf<typeof table>
const credential = 'between services'

const hello: Greeter['greet'] = async ({ name }) => ({ text: `Hello ${name}` })

function serve(greet = hello) {
  const { log, lines } = recordingLogger()
  return { app: servePort(table, { greet, nothing: async () => null }, { credential, log }), lines }
}
function start(greet = hello, password = credential) {
  const { app, lines } = serve(greet)
  const port = callPort(table, { transport: (request) => app.handle(request), credential: password })
  return { app, port, lines }
}
function startDirectly(greet = hello) {
  const { app, lines } = serve(greet)
  return { app, port: callPort(table, { served: () => app }), lines }
}
const over = (transport: Transport) => callPort(table, { transport, credential })

/** What a call failed with. */
async function failure(call: Promise<unknown>): Promise<AppError> {
  const error = await call.then(
    () => new Error('it succeeded'),
    (error: unknown) => error,
  )
  if (!(error instanceof AppError)) throw error
  return error
}

describe.each([
  ['over HTTP', start],
  ['within the process', startDirectly],
])('a call %s', (_, start) => {
  test('takes and answers what the table says, null included', async () => {
    const { port } = start()
    expect(await port.greet({ name: 'Ada' })).toEqual({ text: 'Hello Ada' })
    expect(await port.nothing({})).toBeNull()
  })

  test('fails as the implementation failed: code, status, words, faults, when to come back', async () => {
    const thrown = greeting.refused({ detail: 'Not Bob.', errors: [{ path: '/name', message: 'is Bob' }] })
    const error = await failure(start(() => Promise.reject(thrown)).port.greet({ name: 'Bob' }))
    expect(error).toMatchObject({
      code: 'greeting.refused',
      status: 409,
      title: 'Not that one',
      detail: 'Not Bob.',
      errors: [{ path: '/name', message: 'is Bob' }],
    })
    const away = await failure(start(() => Promise.reject(greeting.away({ retryAfter: 7 }))).port.greet({ name: 'x' }))
    expect(away).toMatchObject({ code: 'greeting.away', status: 503, retryAfter: 7 })
  })

  test('does not carry a bug of the implementation across: that is told in its own log', async () => {
    const { port, lines } = start(() => Promise.reject(new Error('the secret cause')))
    const error = await failure(port.greet({ name: 'x' }))
    expect(error.status).toBe(500)
    expect(JSON.stringify(error)).not.toContain('secret')
    expect(lines.join()).toContain('the secret cause')
  })

  test('with a wrong input is refused by the other end, with what is wrong with it', async () => {
    const { port } = start()
    const refused = await failure(port.greet({ name: '' }))
    expect(refused).toMatchObject({ status: 422, code: 'request.invalid', errors: [{ path: '/body/name' }] })
    expect(await failure(port.greet({ name: 'x', more: 1 } as never))).toMatchObject({ status: 422 })
  })

  test('that is answered out of contract fails, and not as the answer says', async () => {
    const { port } = start(async () => ({ text: 7 }) as never)
    await expect(port.greet({ name: 'x' })).rejects.toThrow('greeter.greet answered out of contract')
    const more = start(async () => ({ text: 'x', more: 1 }) as never)
    await expect(more.port.greet({ name: 'x' })).rejects.toThrow('out of contract')
  })

  test('shares no object between its two ends', async () => {
    const held: { name: string }[] = []
    const answer = { text: 'as it was' }
    const { port } = start(async (asked) => {
      held.push(asked)
      return answer
    })
    const asked = { name: 'Ada' }
    const answered = await port.greet(asked)
    answer.text = 'changed later'
    asked.name = 'changed later'
    expect([held[0], answered]).toEqual([{ name: 'Ada' }, { text: 'as it was' }])
  })

  test('leaves out what JSON leaves out', async () => {
    const { port } = start(async () => ({ text: 'x', more: undefined }) as never)
    expect(Object.keys(await port.greet({ name: 'x', more: undefined } as never))).toEqual(['text'])
  })

  test('of an operation that the other end does not know is no mistake of the client', async () => {
    const { app } = start()
    const newer = definePort({ service: 'greeter', operations: { wave: table.operations.greet } })
    const overHttp = { transport: (request: Request) => app.handle(request), credential }
    const port = callPort(newer, start === startDirectly ? { served: () => app } : overHttp)
    expect(await failure(port.wave({ name: 'x' }))).toMatchObject({ code: 'dependency.away', status: 503 })
  })
})

test('what stays in the process is copied as JSON would', () => {
  const odd = JSON.parse('{"__proto__":{"a":1},"constructor":[]}')
  const samples = [
    ...[null, '', 'Ä\ud800', 0, Number.NaN, Number.POSITIVE_INFINITY, true],
    ...[[undefined, () => 1, Symbol('x'), [[]]], { a: undefined, b: () => 1, c: { d: [1, { e: 'f' }] } }, odd],
    ...[new Date(0), { at: new Date(0) }, new Map([[1, 2]])],
  ]
  for (const sample of samples) expect(copyOf(sample)).toEqual(JSON.parse(JSON.stringify(sample)))
  expect(Object.keys(copyOf(odd) as object)).toContain('__proto__')
})

test('a call goes to the base address it was given', async () => {
  const urls: string[] = []
  const transport: Transport = (request) => {
    urls.push(request.url)
    return Response.json({ text: '' })
  }
  await callPort(table, { transport, credential, base: 'http://greeter:9000' }).greet({ name: 'x' })
  expect(urls).toEqual(['http://greeter:9000/internal/greeter/greet'])
})

describe('a service that cannot be reached', () => {
  test.each<[string, Transport]>([
    ['because nobody listens', () => Promise.reject(new Error('ECONNREFUSED'))],
    ['because something in between answers', async () => new Response('<h1>502</h1>', { status: 502 })],
    ['because something in between answers in JSON', async () => Response.json({ error: 'no' }, { status: 500 })],
    ['because its answer breaks off', async () => new Response('{"text":', { status: 200 })],
  ])('is away, %s', async (_, transport) => {
    expect(await failure(over(transport).greet({ name: 'x' }))).toMatchObject({
      code: 'dependency.away',
      status: 503,
      retryAfter: 1,
    })
  })

  test('tells the cause to us and not to the client', async () => {
    const error = await failure(over(() => Promise.reject(new Error('10.0.0.7:9000'))).greet({ name: 'x' }))
    expect(error.detail).not.toContain('10.0.0.7')
    expect((error.cause as Error).message).toContain('10.0.0.7')
  })
})

describe('a mistake between services is no mistake of the client', () => {
  test('a wrong credential is a 503 here, not a 401 that would log the user out', async () => {
    expect(await failure(start(undefined, 'wrong').port.greet({ name: 'x' }))).toMatchObject({
      code: 'dependency.away',
      status: 503,
    })
  })
})

describe('the serving end', () => {
  const call = (headers: Record<string, string>, body: unknown = { name: 'x' }) =>
    start().app.handle(request('/internal/greeter/greet', { body, headers }))

  test.each(['', 'wrong', `${credential}s`, credential.toUpperCase()])('refuses the credential %p', async (given) => {
    const answer = await call({ 'x-conntext-service': given })
    expect(answer.status).toBe(401)
    expect(await answer.json()).toMatchObject({ code: 'port.unauthorised' })
  })

  test('refuses whoever brings none, before looking at anything else', async () => {
    expect((await call({}, '{')).status).toBe(401)
    const { app } = start()
    expect((await app.handle(request('/internal/nothing/here', { body: {} }))).status).toBe(401)
  })

  test('does not start with an empty credential, which everybody has', () => {
    const implementation = { greet: async () => ({ text: '' }), nothing: async () => null }
    expect(() => servePort(table, implementation, { credential: '', log: silentLogger })).toThrow('credential')
  })
})
