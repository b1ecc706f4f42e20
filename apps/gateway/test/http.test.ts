import { afterAll, beforeAll, expect, test } from 'bun:test'
import net from 'node:net'
import { eventually } from '@conntext/testing'
import { type Stack, type StackOptions, startStack } from './support/stack.ts'

let stack: Stack
let token: string
beforeAll(async () => {
  stack = await startStack()
  token = (await stack.authority.member()).token
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const bearer = () => ({ authorization: `Bearer ${token}` })
const get = (path: string, headers: Record<string, string> = bearer()) => fetch(stack.url + path, { headers })

/** What fetch would tidy up: a request as bytes, and the answer as text. */
async function raw(text: string, port = stack.port): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  let answer = ''
  let closed = false
  socket.on('data', (data) => {
    answer += data
  })
  socket.on('close', () => {
    closed = true
  })
  socket.on('error', () => {})
  socket.write(text)
  await eventually(() => closed || answer.includes('\r\n\r\n'))
  socket.destroy()
  return answer
}

const statusOf = (answer: string) => Number(answer.split(' ')[1])

test('paths go to the services that own them', async () => {
  const id = crypto.randomUUID()
  const services = new Map([
    ['/v1/users/@me', 'auth'],
    [`/v1/users/${id}`, 'auth'],
    ['/v1/server', 'system'],
    ['/v1/search?q=x', 'messaging'],
    ['/v1/voice/ice-servers', 'realtime'],
  ])
  for (const [path, service] of services) {
    const response = await get(path)
    expect([path, response.status]).toEqual([path, 200])
    expect(await response.json()).toMatchObject({ service })
  }
})

test('what nobody owns is a 404 problem', async () => {
  for (const path of ['/', '/v1', '/v1/', '/v1/nothing', '/v2/server', '/internal/auth/authority']) {
    const response = await get(path)
    expect([path, response.status, response.headers.get('content-type')]).toEqual([
      path,
      404,
      'application/problem+json',
    ])
    expect(await response.json()).toMatchObject({ code: 'request.noSuchRoute', requestId: expect.any(String) })
  }
})

test('a path that could be read in two ways is refused, and never a 5xx', async () => {
  const tricks = [
    '/v1/users/..%2f..%2fserver',
    '/v1/users/%2e%2e%2fserver',
    '/v1%2fserver',
    '/v1/users/a%5cb',
    '/v1/users/a%00',
    '/v1/users/a%0d%0aX-Injected:1',
    '/v1/users/%ZZ',
    '/v1/users/%FF',
    '/v1/users/%',
    '/v1/search?q=%00',
    '/v1/search?q=%',
    '/v1/users/a#b',
  ]
  for (const path of tricks) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    expect([path, statusOf(answer)]).toEqual([path, 400])
    expect(answer).toContain('gateway.badPath')
  }
  for (const path of [
    '//v1/server',
    '/v1/users/../server',
    '/v1/users/%2e%2e/server',
    '/v1/users/..\\server',
    '/v1/users//',
    '/v1/%C3%A4',
  ]) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`)
    expect(statusOf(answer)).toBeLessThan(500)
  }
})

test('whatever the Host, dot segments and backslashes lead nowhere else', async () => {
  const hosts = [
    'Host: \r\n',
    'Host: a b\r\n',
    'Host: x@y\r\n',
    'Host: [::1\r\n',
    'Host: x:99999\r\n',
    'Host: a%\r\n',
    '',
  ]
  const tricks = [
    '/v1/users/../../internal/auth/authority',
    '/v1/users/./../../internal/auth/authority',
    '/v1/users/..\\..\\internal/auth/authority',
    '/v1/users/..',
    '/v1/search/..?q=x',
  ]
  for (const host of hosts) {
    // Only then may there be none.
    const version = host === '' ? '1.0' : '1.1'
    for (const path of tricks) {
      const answer = await raw(`GET ${path} HTTP/${version}\r\n${host}Authorization: Bearer ${token}\r\n\r\n`)
      expect([host, path, statusOf(answer)]).toEqual([host, path, 400])
      expect(answer).toContain('gateway.badPath')
    }
    const plain = `GET /v1/search?q=../a\\b HTTP/${version}\r\n${host}Authorization: Bearer ${token}\r\n\r\n`
    expect(statusOf(await raw(plain))).toBe(200)
  }
})

test('an over-long URL is a 413 problem', async () => {
  const response = await get(`/v1/search?q=${'x'.repeat(8200)}`)
  expect(response.status).toBe(413)
  expect(await response.json()).toMatchObject({ code: 'gateway.urlTooLong' })
})

test('a Host of any kind, or none, changes nothing', async () => {
  for (const host of ['Host: x\r\n', 'Host: a b<>\r\n', 'Host: evil/v1/server?\r\n', 'Host: [::1]:80\r\n']) {
    const answer = await raw(`GET /v1/users/@me HTTP/1.1\r\n${host}Authorization: Bearer ${token}\r\n\r\n`)
    expect([host, statusOf(answer)]).toEqual([host, 200])
    expect(answer).toContain('"service":"auth"')
  }
  const answer = await raw(`GET /v1/users/@me HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  expect(statusOf(answer)).toBe(200)
})

test('a short Host does not break routes with a body', async () => {
  const body = '{"name":"x"}'
  const answer = await raw(
    `PATCH /v1/server HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  expect(statusOf(answer)).toBe(200)
  expect(answer).toContain('"got":12')
})

test("the services' own headers can't be smuggled in", async () => {
  const smuggled = {
    ...bearer(),
    'x-conntext-address': '6.6.6.6',
    'X-Conntext-Service': 'guess',
    'x-conntext-anything': '1',
    'x-forwarded-for': '6.6.6.6',
  }
  const { headers } = (await (await get('/v1/users/@me', smuggled)).json()) as { headers: Record<string, string> }
  expect(headers['x-conntext-address']).toBe('127.0.0.1')
  expect(Object.keys(headers).filter((name) => name.startsWith('x-conntext-'))).toEqual(['x-conntext-address'])
})

test('behind trusted proxies the address is what the outermost of them saw', async () => {
  await using behind = await startStack({ config: { trustedProxies: 2 } })
  const member = await behind.authority.member()
  const address = async (forwarded: string) => {
    const headers = { authorization: `Bearer ${member.token}`, 'x-forwarded-for': forwarded }
    const answer = await (await fetch(`${behind.url}/v1/users/@me`, { headers })).json()
    return (answer as { headers: Record<string, string> }).headers['x-conntext-address']
  }
  expect(await address('6.6.6.6, 203.0.113.7, 10.0.0.1')).toBe('203.0.113.7')
  expect(await address('[2001:db8::1]:443, 10.0.0.1')).toBe('2001:db8::1')
  expect(await address('203.0.113.7')).toBe('203.0.113.7')
  expect(await address('nonsense, 10.0.0.1')).toBe('127.0.0.1')
})

test('a request id comes back; one that is not sane is replaced', async () => {
  const kept = await get('/v1/users/@me', { ...bearer(), 'x-request-id': 'abc-1' })
  expect(kept.headers.get('x-request-id')).toBe('abc-1')
  expect(await kept.json()).toMatchObject({ headers: { 'x-request-id': 'abc-1' } })
  const replaced = await get('/v1/nothing', { ...bearer(), 'x-request-id': 'a b{}' })
  const id = replaced.headers.get('x-request-id')
  expect(id).toMatch(/^[0-9a-f-]{36}$/)
  expect(await replaced.json()).toMatchObject({ requestId: id })
})

test('a token that does not verify is a 401 at once, on whatever path', async () => {
  let asked = 0
  const upstream = async () => {
    asked += 1
    return new Response('{}')
  }
  const upstreams = { auth: upstream, system: upstream, messaging: upstream, realtime: upstream }
  await using guarded = await startStack({ upstreams })
  const expired = await guarded.authority.member({ expiresIn: -10 })
  for (const bad of ['nonsense', expired.token]) {
    for (const path of ['/v1/users/@me', '/v1/users/1/2/3']) {
      const response = await fetch(guarded.url + path, { headers: { authorization: `Bearer ${bad}` } })
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
      expect(await response.json()).toMatchObject({ code: 'access.unauthenticated' })
    }
  }
  expect((await fetch(`${guarded.url}/v1/users/@me`)).status).toBe(401)
  expect(asked).toBe(0)
  const login = await fetch(`${guarded.url}/v1/auth/login`, {
    method: 'POST',
    headers: { authorization: 'Bearer old' },
  })
  expect(login.status).toBe(200)
  expect(asked).toBe(1)
})

test('a wrong method is a 405 that names the right ones', async () => {
  const response = await fetch(`${stack.url}/v1/server`, { method: 'DELETE', headers: bearer() })
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe('GET, HEAD, OPTIONS, PATCH')
  expect(await response.json()).toMatchObject({ code: 'request.wrongMethod' })
  const probe = await fetch(`${stack.url}/livez`, { method: 'POST' })
  expect([probe.status, probe.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
  const own = await fetch(`${stack.url}/v1/nothing`, { method: 'DELETE', headers: bearer() })
  expect(own.status).toBe(404)
})

test('HEAD is answered as GET is, without the body', async () => {
  const response = await fetch(`${stack.url}/v1/server`, { method: 'HEAD', headers: bearer() })
  expect(response.status).toBe(200)
  expect(await response.text()).toBe('')
})

test('HEAD tells the length of what GET would stream, takes no range, and drops the stream', async () => {
  let cancelled = false
  let range: string | null = ''
  const messaging = async (request: Request) => {
    range = request.headers.get('range')
    const body = new ReadableStream({
      cancel() {
        cancelled = true
      },
    })
    return new Response(body, { headers: { 'content-length': '12345', etag: '"e"' } })
  }
  await using own = await startStack({ upstreams: { messaging } })
  const { token } = await own.authority.member()
  const headers = { authorization: `Bearer ${token}`, range: 'bytes=0-9' }
  const response = await fetch(`${own.url}/v1/search`, { method: 'HEAD', headers })
  expect(response.headers.get('content-length')).toBe('12345')
  expect(response.headers.get('etag')).toBe('"e"')
  expect(range).toBeNull()
  expect(cancelled).toBe(true)
})

const chunked = (bytes: number) =>
  new ReadableStream({
    start(controller) {
      for (let sent = 0; sent < bytes; sent += 65_536) controller.enqueue(new Uint8Array(65_536).fill(32))
      controller.close()
    },
  })

test('a JSON body over the limit is a 413, by its length before it is read or by counting', async () => {
  const headers = { ...bearer(), 'content-type': 'application/json' }
  for (const body of [new Uint8Array(1_048_577).fill(32), chunked(1_200_000)]) {
    const response = await fetch(`${stack.url}/v1/server`, { method: 'PATCH', headers, body })
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ code: 'request.tooLarge' })
  }
  const declared = await raw(
    `PATCH /v1/server HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n`,
  )
  expect(statusOf(declared)).toBe(413)
})

test('a JSON body within the limit passes, with and without its length', async () => {
  const headers = { ...bearer(), 'content-type': 'application/json' }
  const text = JSON.stringify({ name: 'x'.repeat(900_000) })
  for (const body of [text, new Blob([text]).stream()]) {
    const response = await fetch(`${stack.url}/v1/server`, { method: 'PATCH', headers, body })
    expect(await response.json()).toEqual({ got: text.length })
  }
})

test('an upload passes as a stream, beyond the limit of JSON', async () => {
  for (const body of [new Uint8Array(3_000_000), chunked(3_145_728)]) {
    const headers = { ...bearer(), 'content-type': 'application/offset+octet-stream' }
    const response = await fetch(`${stack.url}/v1/uploads`, { method: 'POST', headers, body })
    expect(response.status).toBe(200)
    expect(((await response.json()) as { bytes: number }).bytes).toBeGreaterThanOrEqual(3_000_000)
  }
})

test('bodies that are no JSON, or none at all, are the services’ 4xx', async () => {
  const patch = (body: string, type: string) =>
    fetch(`${stack.url}/v1/server`, { method: 'PATCH', headers: { ...bearer(), 'content-type': type }, body })
  expect((await patch('{', 'application/json')).status).toBe(400)
  expect((await patch('a=1', 'application/x-www-form-urlencoded')).status).toBe(415)
})

test('malformed HTTP never reaches a service and never is a 5xx', async () => {
  const line = 'POST /v1/auth/login HTTP/1.1\r\nHost: localhost\r\n'
  const requests = [
    `${line}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${line}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef`,
    `${line}Content-Length: -1\r\n\r\n`,
    `GET /v1/server HTTP/1.1\r\nHost: localhost\r\nX-A: \x00\r\n\r\n`,
    `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  ]
  for (const request of requests) {
    const status = statusOf(await raw(request))
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
  }
})

test('rates are told with every answer, and a 429 when they are used up', async () => {
  const config: StackOptions['config'] = {
    rates: {
      account: { perSecond: 0.1, burst: 3 },
      address: { perSecond: 0.1, burst: 2 },
      credentials: { perSecond: 0.1, burst: 1 },
    },
  }
  await using limited = await startStack({ config })
  const [one, two] = [await limited.authority.member(), await limited.authority.member()]
  const me = (of: { token: string }) =>
    fetch(`${limited.url}/v1/users/@me`, { headers: { authorization: `Bearer ${of.token}` } })
  const answers = [await me(one), await me(one), await me(one), await me(one)]
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429])
  expect(answers.map(({ headers }) => headers.get('ratelimit-remaining'))).toEqual(['2', '1', '0', '0'])
  expect(answers[0]!.headers.get('ratelimit-limit')).toBe('3')
  expect(Number(answers[0]!.headers.get('ratelimit-reset'))).toBeWithin(5, 11)
  const retryAfter = Number(answers[3]!.headers.get('retry-after'))
  expect(retryAfter).toBeWithin(5, 11)
  expect(await answers[3]!.json()).toMatchObject({ status: 429, code: 'request.tooMany', retryAfter })
  expect((await me(two)).status).toBe(200)
  const login = () => fetch(`${limited.url}/v1/auth/login`, { method: 'POST', body: '{}' })
  await login()
  const refused = await login()
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeWithin(5, 11)
})

test('bad tokens use up the rate of their address, and good ones from there still get through', async () => {
  const config: StackOptions['config'] = {
    rates: {
      account: { perSecond: 100, burst: 100 },
      address: { perSecond: 0.01, burst: 3 },
      credentials: { perSecond: 1, burst: 1 },
    },
  }
  await using limited = await startStack({ config })
  const member = await limited.authority.member()
  const me = (of: string) => fetch(`${limited.url}/v1/users/@me`, { headers: { authorization: `Bearer ${of}` } })
  expect((await me(member.token)).status).toBe(200)
  const statuses = [await me('a'), await me('b'), await me('c'), await me('d')].map(({ status }) => status)
  expect(statuses).toEqual([401, 401, 401, 429])
})

test('pages of any origin may call, without credentials', async () => {
  const preflight = await fetch(`${stack.url}/v1/server`, {
    method: 'OPTIONS',
    headers: { origin: 'https://chat.example.org', 'access-control-request-method': 'PATCH' },
  })
  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*')
  expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH')
  expect(preflight.headers.get('access-control-allow-headers')).toContain('Authorization')
  expect(preflight.headers.get('access-control-allow-credentials')).toBeNull()
  const answer = await get('/v1/server', { ...bearer(), origin: 'https://chat.example.org' })
  expect(answer.headers.get('access-control-allow-origin')).toBe('*')
  expect(answer.headers.get('access-control-expose-headers')).toContain('Retry-After')
  expect(answer.headers.get('access-control-expose-headers')).toContain('X-Expected-Rows')
  const problem = await get('/v1/nothing', { origin: 'https://chat.example.org' })
  expect(problem.headers.get('access-control-allow-origin')).toBe('*')
})

test('with origins configured, only those may call or open a WebSocket', async () => {
  await using strict = await startStack({ config: { corsOrigins: ['https://chat.example.org'] } })
  const allowed = async (origin: string) => {
    const headers = { origin, 'access-control-request-method': 'GET' }
    const response = await fetch(`${strict.url}/v1/server`, { method: 'OPTIONS', headers })
    expect(response.headers.get('vary')).toContain('Origin')
    return response.headers.get('access-control-allow-origin')
  }
  expect(await allowed('https://chat.example.org')).toBe('https://chat.example.org')
  expect(await allowed('https://evil.example')).toBeNull()
  const upgrade = (origin: string) =>
    raw(
      `GET /v1/gateway HTTP/1.1\r\nHost: localhost\r\nOrigin: ${origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      strict.port,
    )
  expect(statusOf(await upgrade('https://evil.example'))).toBe(403)
  expect(statusOf(await upgrade('https://chat.example.org'))).toBe(101)
})

test('every answer is hardened, and names no server', async () => {
  for (const path of ['/v1/server', '/v1/nothing', '/livez', '/openapi.json']) {
    const { headers } = await get(path)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('server')).toBeNull()
  }
})

test('a service that can not be reached is a 503 problem without the cause', async () => {
  const away = async () => {
    throw new Error('connect ECONNREFUSED 10.0.0.7:9999')
  }
  await using broken = await startStack({ upstreams: { auth: away } })
  const member = await broken.authority.member()
  const response = await fetch(`${broken.url}/v1/users/@me`, { headers: { authorization: `Bearer ${member.token}` } })
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
  const text = await response.text()
  expect(text).toContain('dependency.away')
  expect(text).not.toContain('10.0.0.7')
})

test('livez says that the process runs', async () => {
  const response = await get('/livez', {})
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({ alive: true, version: '0.0.0-test' })
})

test('a service that does not answer is a 503 problem in bounded time; an upload may take its time', async () => {
  const [reached, late] = [Promise.withResolvers<void>(), Promise.withResolvers<Response>()]
  const upstreams = {
    auth: () => new Promise<Response>(() => {}),
    messaging() {
      reached.resolve()
      return late.promise
    },
  }
  await using stack = await startStack({ upstreams, config: { answerMs: 50 } })
  const { token } = await stack.authority.member()
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${stack.url}/v1/roles`, { headers })
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ code: 'dependency.away' })
  const upload = fetch(`${stack.url}/v1/uploads`, { method: 'POST', headers, body: 'bytes' })
  await reached.promise
  expect(await Promise.race([upload.then(() => 'answered'), Bun.sleep(200).then(() => 'waiting')])).toBe('waiting')
  late.resolve(new Response('late'))
  expect(await (await upload).text()).toBe('late')
})

test('readyz is 503 when a part that is needed is down, hangs or fails, and not for voice', async () => {
  const state = (service: string, is: 'up' | 'down') => async () => ({ service, state: is, dependencies: [] })
  const cases: [string, () => Promise<never> | ReturnType<ReturnType<typeof state>>, number][] = [
    ['auth', state('auth', 'up'), 200],
    ['realtime', state('realtime', 'down'), 200],
    ['messaging', state('messaging', 'down'), 503],
    ['system', () => Promise.reject(new Error('away')), 503],
    ['auth', () => new Promise<never>(() => {}), 503],
  ]
  for (const [service, health, status] of cases) {
    await using one = await startStack()
    one.health.set(service, health)
    const response = await fetch(`${one.url}/readyz`)
    expect([service, response.status]).toEqual([service, status])
    expect(await response.json()).toMatchObject({ ready: status === 200 })
  }
})

test('metrics are for whoever has system.view', async () => {
  expect((await get('/metrics', {})).status).toBe(401)
  expect((await get('/metrics')).status).toBe(403)
  const text = await stack.metrics()
  expect(text).toMatch(/conntext_gateway_requests_total\{service="auth",method="GET",status="2xx"\} \d+/)
  expect(text).toContain('conntext_gateway_request_duration_seconds_bucket')
  expect(text).toContain('process_resident_memory_bytes')
})

test('the OpenAPI document is served as it is, and not twice', async () => {
  const first = await get('/openapi.json', {})
  expect(first.status).toBe(200)
  expect(await first.text()).toContain('/v1/users/@me')
  const again = await get('/openapi.json', { 'if-none-match': first.headers.get('etag')! })
  expect(again.status).toBe(304)
})

test('the AsyncAPI document is served as it is to anybody, and not twice', async () => {
  const first = await get('/asyncapi.yaml', {})
  expect([first.status, first.headers.get('content-type')]).toEqual([200, 'application/yaml; charset=utf-8'])
  expect(await first.text()).toBe('asyncapi: 3.0.0\n')
  const again = await get('/asyncapi.yaml', { 'if-none-match': first.headers.get('etag')! })
  expect(again.status).toBe(304)
  expect(await (await get('/docs', {})).text()).toContain('href="/asyncapi.yaml"')
})

test('the documentation page and all of its files come from here alone', async () => {
  const page = await get('/docs', {})
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
  const html = await page.text()
  expect(html).not.toMatch(/https?:|\/\//)
  expect(page.headers.get('content-security-policy')).not.toMatch(/https?:|\*|unsafe-eval/)
  const files = [...html.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map((match) => match[1]!)
  expect(files).toHaveLength(3)
  for (const file of files) {
    const response = await get(file, {})
    expect([file, response.status]).toEqual([file, 200])
    expect((await response.text()).length).toBeGreaterThan(100)
  }
  expect(await (await get('/docs/setup.js', {})).text()).toContain('validatorUrl: null')
  expect((await get('/docs/package.json', {})).status).toBe(404)
  expect((await get('/docs/constructor', {})).status).toBe(404)
})

test('a plain request for the WebSocket is told to upgrade', async () => {
  const response = await get('/v1/gateway', {})
  expect(response.status).toBe(426)
  expect(await response.json()).toMatchObject({ code: 'gateway.upgradeRequired' })
})
