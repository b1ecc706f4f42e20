import { describe, expect, test } from 'bun:test'
import { Problem } from '@conntext/contracts'
import { AppError, defineErrors } from '@conntext/kernel'
import { type TSchema, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { Elysia } from 'elysia'
import { baseApp, faultsFrom } from '../src/index.ts'
import { recordingLogger, request } from './support/app.ts'

const errors = defineErrors('thing', {
  nameTaken: { status: 409, title: 'A thing with this name exists' },
  away: { status: 503, title: 'The thing is away' },
})
const Inner = Type.Object({ size: Type.Integer({ minimum: 1 }) }, { additionalProperties: false })
const Body = Type.Object({ name: Type.String(), inner: Type.Optional(Inner) }, { additionalProperties: false })
const Query = Type.Object(
  { limit: Type.Optional(Type.String({ pattern: '^[0-9]+$' })) },
  { additionalProperties: false },
)
const Made = Type.Object({ name: Type.String() }, { additionalProperties: false })

/** An app whose handler does what the test says. */
function start(work: (name: string) => unknown = (name) => ({ name })) {
  const { log, lines } = recordingLogger()
  const routes = new Elysia({ normalize: false })
    .post('/v1/things', ({ body }) => work(body.name) as { name: string }, {
      parse: 'json',
      body: Body,
      query: Query,
      response: { 200: Made },
    })
    .post('/v1/parts', ({ body }) => ({ size: body.size ?? 0 }), { parse: 'json', body: Type.Partial(Inner) })
    .get('/v1/things', () => ({ name: 'all' }), { response: { 200: Made } })
    .put('/v1/uploads/:id', async ({ request }) => ({ size: (await request.arrayBuffer()).byteLength }), {
      parse: 'none',
    })
  const app = baseApp({ log, rawBodies: ['/v1/uploads/'] }).use(routes)
  const send = (body: unknown, path = '/v1/things', headers = {}) => app.handle(request(path, { body, headers }))
  return { app, lines, send }
}

async function problem(answer: Response | Promise<Response>) {
  const response = await answer
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const body = (await response.json()) as Problem
  expect([...Value.Errors(Problem, body)]).toEqual([])
  expect(body.status).toBe(response.status)
  expect(body.type).toBe(`urn:conntext:error:${body.code}`)
  expect(response.headers.get('x-request-id')).toBe(body.requestId)
  return body
}

describe('what a client gets wrong', () => {
  test('an unknown field is a 422 that says where, at any depth', async () => {
    const { send } = start()
    expect(await problem(send({ name: 'x', surprise: 1 }))).toMatchObject({
      status: 422,
      code: 'request.invalid',
      errors: [{ path: '/body/surprise' }],
    })
    const deep = await problem(send({ name: 'x', inner: { size: 1, surprise: 1 } }))
    expect(deep.errors).toMatchObject([{ path: '/body/inner/surprise' }])
    const query = await problem(send({ name: 'x' }, '/v1/things?limit=1&surprise=1'))
    expect(query.errors).toMatchObject([{ path: '/query/surprise' }])
  })

  test('a route that takes no query refuses one', async () => {
    const { app } = start()
    expect((await app.handle(request('/v1/things', { method: 'GET' }))).status).toBe(200)
    const refused = await problem(app.handle(request('/v1/things?surprise=1', { method: 'GET' })))
    expect(refused).toMatchObject({ status: 422, errors: [{ path: '/query/surprise' }] })
  })

  test('a query parameter that is given twice is a 422: nobody can say which one counts', async () => {
    const refused = await problem(start().send({ name: 'x' }, '/v1/things?limit=1&limit=2'))
    expect(refused).toMatchObject({ status: 422, errors: [{ path: '/query/limit' }] })
  })

  test('a slash too many at the end is another address', async () => {
    expect(await problem(start().send({ name: 'x' }, '/v1/things/'))).toMatchObject({ status: 404 })
  })

  test('all faults are told, with their paths, and none of the values', async () => {
    const { send } = start()
    const found = await problem(send({ name: 12345, inner: { size: 0 } }))
    expect(found.errors!.map((fault) => fault.path)).toEqual(expect.arrayContaining(['/body/name', '/body/inner/size']))
    expect(JSON.stringify(found)).not.toContain('12345')
  })

  test('what is wrong in one place is told once', async () => {
    const found = await problem(start().send({ inner: { size: 1 } }))
    expect(found.errors).toEqual([{ path: '/body/name', message: 'Expected required property' }])
  })

  test('where one of some words is expected, they are told', () => {
    const faults = (schema: TSchema, value: unknown) => faultsFrom(Value.Errors(schema, value), '/body')
    const colour = Type.Union([Type.Literal('red'), Type.Literal('green')])
    const told = (message: string) => [{ path: '/body', message }]
    expect(faults(colour, 'blue')).toEqual(told('Expected one of red, green'))
    expect(faults(Type.Union([colour, Type.Null()]), 'blue')).toEqual(told('Expected one of red, green, null'))
    expect(faults(Type.Union([colour, Type.Number()]), 'blue')).toEqual(told('Expected union value'))
  })

  test('not more than twenty faults are told', async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, 1]))
    expect((await problem(start().send(many))).errors).toHaveLength(20)
  })

  test.each(['{', '{"name":', 'name=x', ''])('%p is no JSON: 400', async (body) => {
    expect(await problem(start().send(body))).toMatchObject({ status: 400, code: 'request.unparsable' })
  })

  test('no body at all is an empty object where all of it may be left out, and no JSON elsewhere', async () => {
    const { app } = start()
    using server = Bun.serve({ port: 0, fetch: app.fetch })
    const post = (path: string, body?: string) =>
      fetch(new URL(path, server.url), {
        method: 'POST',
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      })
    for (const body of [undefined, '', '{}']) expect(await (await post('/v1/parts', body)).json()).toEqual({ size: 0 })
    expect(await (await post('/v1/parts', '{"size":3}')).json()).toEqual({ size: 3 })
    for (const body of [' ', 'null', '[]']) expect((await post('/v1/parts', body)).ok).toBe(false)
    for (const body of [undefined, '']) {
      expect(await problem(post('/v1/things', body))).toMatchObject({ status: 400, code: 'request.unparsable' })
    }
  })

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
  ])('%p is not taken: 415', async (type) => {
    const answer = start().send('{"name":"x"}', undefined, { 'content-type': type })
    expect(await problem(answer)).toMatchObject({ status: 415, code: 'request.wrongContentType' })
  })

  test.each(['Application/JSON; charset=utf-8', 'application/json ; Charset="UTF-8"', 'application/json;q=1'])(
    '%p is JSON',
    async (type) => {
      const answer = await start().send({ name: 'x' }, undefined, { 'content-type': type })
      expect(answer.status).toBe(200)
    },
  )

  test.each([
    [{ 'content-type': 'application/json; charset=utf-16' }],
    [{ 'content-type': 'application/json; charset="latin1"' }],
    [{ 'content-encoding': 'gzip' }],
  ])('JSON in another code (%p) is a 415, not read as if it were in UTF-8', async (headers) => {
    expect(await problem(start().send({ name: 'x' }, undefined, headers))).toMatchObject({ status: 415 })
  })

  test('bytes that are no UTF-8 are a 400: nothing is put in their place', async () => {
    const body = new Uint8Array([...Buffer.from('{"name":"'), 0xff, 0xfe, ...Buffer.from('"}')])
    const headers = { 'content-type': 'application/json' }
    const answer = start().app.handle(new Request('http://localhost/v1/things', { method: 'POST', headers, body }))
    expect(await problem(answer)).toMatchObject({ status: 400, code: 'request.unparsable' })
  })

  test.each([10_000, 500_000])('JSON nested %p deep is a 400, at once', async (depth) => {
    const { send, lines } = start()
    const began = performance.now()
    const body = `{"name":${'['.repeat(depth)}${']'.repeat(depth)}}`
    expect(await problem(send(body))).toMatchObject({ status: 400, code: 'request.unparsable' })
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(lines).toEqual([])
  })

  test('a route that is not there is a 404', async () => {
    expect(await problem(start().send({}, '/v1/nothing'))).toMatchObject({ status: 404, code: 'request.noSuchRoute' })
  })

  test('a prototype is no way in', async () => {
    const answer = await problem(start().send('{"name":"x","__proto__":{"a":1},"constructor":{}}'))
    expect(answer.status).toBe(422)
  })
})

test('bodies of another type are taken where the route reads them itself', async () => {
  const { app } = start()
  const answer = await app.handle(
    new Request('http://localhost/v1/uploads/1', { method: 'PUT', body: new Uint8Array([1, 2, 3]) }),
  )
  expect(await answer.json()).toEqual({ size: 3 })
})

describe('what a handler throws', () => {
  const failing = (error: unknown) => {
    const it = start(() => {
      throw error
    })
    return { ...it, answer: it.send({ name: 'the secret words' }) }
  }

  test('a catalogued error is told as it is, with Retry-After in whole seconds', async () => {
    const it = failing(errors.nameTaken({ detail: 'There is one.', retryAfter: 1.2 }))
    const answer = await it.answer
    expect(answer.headers.get('retry-after')).toBe('2')
    expect(await problem(answer)).toMatchObject({
      status: 409,
      code: 'thing.nameTaken',
      title: 'A thing with this name exists',
      detail: 'There is one.',
      retryAfter: 2,
    })
    expect(it.lines).toEqual([])
  })

  test('a bug is a 500 that tells nothing, and a line in the log that does', async () => {
    const it = failing(new TypeError('the cause'))
    const told = await problem(it.answer)
    expect(told).toEqual({
      type: 'urn:conntext:error:internal',
      title: 'Something went wrong here',
      status: 500,
      code: 'internal',
      requestId: told.requestId,
    })
    const line = JSON.parse(it.lines[0]!)
    expect(line).toMatchObject({
      level: 'error',
      method: 'POST',
      path: '/v1/things',
      requestId: told.requestId,
      err: { type: 'TypeError', message: 'the cause' },
    })
    expect(it.lines.join()).not.toContain('secret words')
  })

  test.each([['a string'], [{ status: 200, code: 'ok' }], [7]])('even %p is a 500', async (thrown) => {
    expect(await problem(failing(thrown).answer)).toMatchObject({ status: 500, code: 'internal' })
  })

  test('a dependency that is away is a 503, its cause in the log alone', async () => {
    const it = failing(errors.away({ cause: new Error('10.0.0.7 refused') }))
    const told = await problem(it.answer)
    expect(told).toMatchObject({ status: 503, code: 'thing.away' })
    expect(JSON.stringify(told)).not.toContain('10.0.0.7')
    expect(it.lines[0]).toContain('10.0.0.7 refused')
  })

  test.each(['ECONNREFUSED', 'CONNECTION_CLOSED', '57P01', '53300'])(
    'a database that is away (%s) is a 503',
    async (code) => {
      const it = failing(Object.assign(new Error('Failed query'), { cause: Object.assign(new Error('x'), { code }) }))
      const answer = await it.answer
      expect(answer.headers.get('retry-after')).toBe('1')
      expect(await problem(answer)).toMatchObject({ status: 503, code: 'dependency.away' })
    },
  )

  test.each([
    ['a NUL character', { code: '22021' }],
    ['half a surrogate in JSON', { code: '22P05' }],
  ])('text that Postgres cannot keep (%s) is the client’s, not ours', async (_, cause) => {
    const it = failing(new Error('Failed query', { cause: Object.assign(new Error('x'), cause) }))
    expect(await problem(it.answer)).toMatchObject({ status: 422, code: 'request.invalid' })
  })

  test('an AppError of 500 from another service is a 500 here', async () => {
    const it = failing(new AppError('internal', 500, 'Something went wrong here', { cause: new Error('there') }))
    expect(await problem(it.answer)).toMatchObject({ status: 500, code: 'internal' })
  })
})

describe('an answer out of contract', () => {
  test.each([
    ['a missing field', {}],
    ['a wrong type', { name: { words: 'somebody else’s words' } }],
    ['a field too many', { name: 'somebody else’s words', passwordHash: 'somebody else’s words' }],
  ])('is a 500 with %s, and nothing of it is told or logged', async (_, made) => {
    const it = start(() => made)
    const told = await problem(it.send({ name: 'x' }))
    expect(told).toMatchObject({ status: 500, code: 'internal' })
    expect(told.errors).toBeUndefined()
    expect(JSON.stringify(told) + it.lines.join()).not.toContain('words')
    expect(JSON.parse(it.lines[0]!).outOfContract[0].path).toStartWith('/response')
  })
})
