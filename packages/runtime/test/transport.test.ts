import { expect, test } from 'bun:test'
import { freePort } from '@conntext/embedded'
import { AppError } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createTransport, ServiceAway } from '../src/index.ts'
import { CREDENTIAL, exchange, HTTP_OK, listening, speaking } from './support/servers.ts'

const to = (urls: string[], options: { patienceMs?: number; callMs?: number } = {}) =>
  createTransport({ service: 'messaging', urls, credential: CREDENTIAL, ...options })

const post = (body: string, path = '/v1/things') =>
  new Request(`http://chat.example.org${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', 'content-length': String(body.length) },
  })
const get = (path = '/v1/things') => new Request(`http://chat.example.org${path}`)
const call = (repeatable: boolean, body = '{}') =>
  [new Request('http://localhost/internal/messaging/do', { method: 'POST' }), { body, repeatable }] as const

test('a request arrives as it came, without what is for one connection alone', async () => {
  const seen: { target: string; headers: Headers; body: string }[] = []
  await using server = listening(async (request) => {
    seen.push({ target: request.url, headers: new Headers(request.headers), body: await request.text() })
    return new Response('made', { status: 201, headers: { 'x-of-the-service': '1', 'keep-alive': 'timeout=5' } })
  })
  const request = new Request('http://chat.example.org/v1/a%20b?x=%C3%A9&y=', {
    method: 'PUT',
    body: 'text',
    headers: { connection: 'x-one-hop', 'x-one-hop': '1', te: 'trailers', 'x-kept': '1', expect: '100-continue' },
  })
  const answer = await to([server.url])(request)
  expect([answer.status, await answer.text(), answer.headers.get('x-of-the-service')]).toEqual([201, 'made', '1'])
  expect(answer.headers.has('keep-alive')).toBe(false)
  const [{ target, headers, body }] = seen as [(typeof seen)[0]]
  expect(target).toBe(`${server.url}/v1/a%20b?x=%C3%A9&y=`)
  expect(body).toBe('text')
  expect(headers.get('x-kept')).toBe('1')
  for (const gone of ['x-one-hop', 'te', 'expect', 'x-conntext-service']) expect(headers.has(gone)).toBe(false)
  // Nothing that a library says of itself.
  expect([headers.get('user-agent'), headers.get('accept-encoding')]).toEqual(['', 'identity'])
})

test('a public request never becomes a call, however its path is written', async () => {
  const seen: string[] = []
  await using server = listening((request) => {
    seen.push(new URL(request.url).pathname)
    return new Response('reached')
  })
  const send = to([server.url])
  // Without a usable Host Bun's server hands on the path as it came.
  using front = Bun.serve({
    port: 0,
    fetch: (request) => send(request).catch((error) => new Response(error.code, { status: error.status ?? 500 })),
  })
  const tricks = [
    '/v1/users/../../internal/messaging/do',
    '/v1/users/..\\..\\internal/messaging/do',
    '/v1/users/%2e%2e/%2E./internal/messaging/do',
    '/internal/messaging/do',
    '/./internal',
  ]
  for (const path of tricks) {
    const answer = await exchange(front.port!, `GET ${path} HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n`)
    expect([path, answer.split('\r\n')[0]]).toEqual([path, 'HTTP/1.1 404 Not Found'])
  }
  expect(seen).toEqual([])
  const plain = await exchange(front.port!, 'GET /v1/internal/x HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n')
  expect(plain).toContain('reached')
})

test('a client cannot have the headers taken away that the gateway sets', async () => {
  let seen = new Headers()
  await using server = listening((request) => {
    seen = new Headers(request.headers)
    return new Response()
  })
  const headers = {
    connection: 'close, x-conntext-address, X-Request-Id, x-one-hop',
    'x-conntext-address': '192.0.2.1',
    'x-request-id': 'id',
    'x-one-hop': '1',
  }
  await to([server.url])(new Request('http://chat.example.org/v1/things', { headers }))
  expect([seen.get('x-conntext-address'), seen.get('x-request-id')]).toEqual(['192.0.2.1', 'id'])
  expect(seen.has('x-one-hop')).toBe(false)
})

test('a proxy for what is outside sees nothing of what goes between services', async () => {
  const { HTTP_PROXY } = process.env
  const proxied: string[] = []
  using proxy = Bun.serve({
    port: 0,
    fetch(request) {
      proxied.push(request.url)
      return new Response('by the proxy')
    },
  })
  await using server = listening(() => new Response('direct'))
  process.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`
  try {
    // So it would be.
    expect(await (await fetch(`${server.url}/livez`)).text()).toBe('by the proxy')
    proxied.length = 0
    expect(await (await to([server.url])(get())).text()).toBe('direct')
    expect(proxied).toEqual([])
  } finally {
    if (HTTP_PROXY === undefined) delete process.env.HTTP_PROXY
    else process.env.HTTP_PROXY = HTTP_PROXY
  }
})

test('packed answers, redirects, parts and empty answers pass as they are', async () => {
  const packed = Bun.gzipSync(new TextEncoder().encode('text'.repeat(100)))
  const answers: Record<string, Response> = {
    '/packed': new Response(packed, { headers: { 'content-encoding': 'gzip' } }),
    '/elsewhere': new Response(null, { status: 302, headers: { location: '/packed' } }),
    '/part': new Response('abc', { status: 206, headers: { 'content-range': 'bytes 0-2/10' } }),
    '/none': new Response(null, { status: 204 }),
    '/same': new Response(null, { status: 304, headers: { etag: '"x"' } }),
  }
  await using server = listening((request) => answers[new URL(request.url).pathname]!)
  const send = to([server.url])
  const got = await send(get('/packed'))
  expect(got.headers.get('content-encoding')).toBe('gzip')
  expect(Buffer.compare(await got.bytes(), packed)).toBe(0)
  const elsewhere = await send(get('/elsewhere'))
  expect([elsewhere.status, elsewhere.headers.get('location')]).toEqual([302, '/packed'])
  const part = await send(get('/part'))
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 0-2/10', 'abc'])
  expect((await send(get('/none'))).status).toBe(204)
  expect((await send(get('/same'))).headers.get('etag')).toBe('"x"')
})

test('the length of what streams is known at the other end', async () => {
  await using server = listening((request) => {
    const parts = new ReadableStream({
      async pull(controller) {
        await Bun.sleep(1)
        controller.enqueue(new Uint8Array(10))
        controller.close()
      },
    })
    return new Response(request.method === 'HEAD' ? null : parts, { headers: { 'content-length': '10' } })
  })
  const send = to([server.url])
  const streamed = await send(get())
  expect(streamed.headers.get('content-length')).toBe('10')
  expect((await streamed.bytes()).length).toBe(10)
  expect([...streamed.headers.keys()].filter((name) => name.startsWith('x-conntext'))).toEqual([])
  const head = await send(new Request('http://chat.example.org/', { method: 'HEAD' }))
  expect(head.headers.get('content-length')).toBe('10')
})

test('instances are asked in turn', async () => {
  const counts = [0, 0, 0]
  const make = (index: number) =>
    listening(() => {
      counts[index]! += 1
      return new Response()
    })
  await using one = make(0)
  await using two = make(1)
  await using three = make(2)
  const send = to([one.url, two.url, three.url])
  for (let i = 0; i < 30; i += 1) await send(post('{}'))
  expect(counts).toEqual([10, 10, 10])
})

test('what is refused goes to another, and the instance has its turn again when it is back', async () => {
  await using there = listening(() => new Response('there'))
  const port = await freePort()
  const send = to([`http://127.0.0.1:${port}`, there.url])
  for (let i = 0; i < 4; i += 1) expect(await (await send(post('{}'))).text()).toBe('there')
  await using _back = listening(() => new Response('back'), { port })
  await eventually(async () => (await (await send(post('{}'))).text()) === 'back')
})

test('a name that is not known is as good as refused', async () => {
  await using there = listening(() => new Response('there'))
  const send = to(['http://nobody.invalid:8083', there.url])
  for (let i = 0; i < 3; i += 1) expect(await (await send(post('{}'))).text()).toBe('there')
  const never = to(['http://nobody.invalid:8083'], { patienceMs: 50 })
  expect(await never(post('{}')).catch((error) => error)).toBeInstanceOf(ServiceAway)
})

test('while no instance is there a request waits, and is done once when one has come', async () => {
  const port = await freePort()
  const send = to([`http://127.0.0.1:${port}`])
  const sent = Promise.all([send(post('"a"')), send(post('"b"')), send(get()), send(...call(false))])
  await Bun.sleep(300)
  const done: string[] = []
  await using server = listening(
    async (request) => {
      done.push(request.method + (await request.text()))
      return Response.json({})
    },
    { port, starting: true },
  )
  await Bun.sleep(300)
  expect(done).toEqual([])
  server.serve()
  expect((await sent).map((answer) => answer.status)).toEqual([200, 200, 200, 200])
  expect(done.sort()).toEqual(['GET', 'POST"a"', 'POST"b"', 'POST{}'])
})

test('a service that stays away is given up in time', async () => {
  const port = await freePort()
  const began = performance.now()
  const failure = await to([`http://127.0.0.1:${port}`], { patienceMs: 300 })(get()).catch((error) => error)
  expect(failure).toBeInstanceOf(ServiceAway)
  expect(performance.now() - began).toBeWithin(300, 8_000)
})

test('what waits for a service that is away is bounded: beyond that it fails at once', async () => {
  const port = await freePort()
  const send = to([`http://127.0.0.1:${port}`], { patienceMs: 8_000 })
  const big = JSON.stringify('x'.repeat(1_000_000))
  let failed = 0
  const sent = Array.from({ length: 200 }, () =>
    send(post(big)).catch((error) => {
      failed += 1
      return error
    }),
  )
  // 64 MiB of them are held: the others fail before anybody's patience is over.
  await eventually(() => failed >= 130, 7_000)
  expect(200 - failed).toBeWithin(50, 71)
  for (const failure of await Promise.all(sent)) expect(failure).toBeInstanceOf(ServiceAway)
  // What has waited is let go.
  await using server = listening(() => new Response(), { port })
  expect((await send(post(big))).status).toBe(200)
  expect(server.port).toBe(port)
})

test('a lost connection: what may be repeated is, at another instance; what may not is not', async () => {
  const asked: string[] = []
  await using dying = await speaking((text, socket) => {
    const first = text.slice(0, text.indexOf(' HTTP'))
    if (first === 'GET /livez') return void socket.write(HTTP_OK)
    asked.push(first)
    socket.destroy()
  })
  const done: string[] = []
  await using there = listening((request) => {
    done.push(`${request.method} ${new URL(request.url).pathname}`)
    return Response.json({})
  })
  const outcome = async (request: Request, portCall?: { body: string; repeatable: boolean }) => {
    const send = to([dying.url, there.url])
    const answer = await send(request, portCall).catch((error: unknown) => error)
    return answer instanceof Response ? answer.status : (answer as Error).name
  }
  expect(await outcome(get('/one'))).toBe(200)
  expect(await outcome(post('{}', '/two'))).toBe('ServiceAway')
  expect(await outcome(...call(true))).toBe(200)
  expect(await outcome(...call(false))).toBe('ServiceAway')
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    expect(await outcome(new Request(`http://chat.example.org/${method}`, { method }))).toBe('ServiceAway')
  }
  const changes = asked.filter((one) => !one.startsWith('GET'))
  expect(changes.slice(0, 3)).toEqual(['POST /two', 'POST /internal/messaging/do', 'POST /internal/messaging/do'])
  expect(changes.slice(3)).toEqual(['PUT /PUT', 'PATCH /PATCH', 'DELETE /DELETE'])
  expect(done).toEqual(['GET /one', 'POST /internal/messaging/do'])
})

test('an answer that breaks off: a call that may be repeated is, others fail, and a stream is cut', async () => {
  let asked = 0
  await using breaking = await speaking((text, socket) => {
    if (text.startsWith('GET /livez')) return void socket.write(HTTP_OK)
    asked += 1
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"half":')
    setTimeout(() => socket.destroy(), 20)
  })
  await using there = listening(() => Response.json({ whole: true }))
  expect(await (await to([breaking.url, there.url])(...call(true))).json()).toEqual({ whole: true })
  expect(await to([breaking.url])(...call(false)).catch((error) => error)).toBeInstanceOf(ServiceAway)
  const answer = await to([breaking.url])(get())
  expect(await answer.text().catch((error) => error)).toBeInstanceOf(Error)
  expect(asked).toBe(3)
})

test('who accepts and says nothing holds up no request where another instance is there', async () => {
  await using silent = await speaking(() => {})
  await using there = listening(() => new Response('there'))
  const send = to([silent.url, there.url])
  const began = performance.now()
  for (let i = 0; i < 4; i += 1) expect(await (await send(post('{}'))).text()).toBe('there')
  expect(performance.now() - began).toBeLessThan(10_000)
})

test('a call that is not answered ends in time', async () => {
  await using server = listening(() => new Promise<Response>(() => {}))
  const failure = await to([server.url], { callMs: 200 })(...call(true)).catch((error) => error)
  expect(failure).toBeInstanceOf(ServiceAway)
})

test('a client that goes away ends what was asked for it', async () => {
  const [asked, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  await using server = listening((request) => {
    request.signal.addEventListener('abort', () => ended.resolve())
    asked.resolve()
    return new Promise<Response>(() => {})
  })
  const client = new AbortController()
  const answer = to([server.url])(new Request('http://chat.example.org/', { signal: client.signal }))
  await asked.promise
  client.abort()
  expect(((await answer.catch((error) => error)) as Error).name).toBe('AbortError')
  await ended.promise
})

test('a service that ends its answer ends the client’s', async () => {
  await using server = listening(
    () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(new Uint8Array(10))
            await Bun.sleep(20)
            controller.error(new Error('broken'))
          },
        }),
      ),
  )
  const answer = await to([server.url])(get())
  expect(await answer.bytes().catch((error) => error)).toBeInstanceOf(Error)
})

test('a body that does not arrive whole is the client’s fault', async () => {
  await using server = listening(() => new Response())
  const body = new ReadableStream({ pull: (controller) => controller.error(new Error('gone')) })
  const headers = { 'content-type': 'application/json', 'content-length': '10' }
  const request = new Request('http://chat.example.org/', { method: 'POST', body, headers })
  const failure = await to([server.url])(request).catch((error) => error)
  expect(failure).toBeInstanceOf(AppError)
  expect(failure).toMatchObject({ code: 'request.unparsable', status: 400 })
})

test('bodies stream in both directions: who is slow to take holds up who gives, and little waits in between', async () => {
  const size = 400_000_000
  const most = 64_000_000
  const chunk = new Uint8Array(65_536).fill(7)
  /** A body that counts what was taken from it, and whoever takes it slowly; what is in between is held by somebody. */
  const flow = () => {
    let given = 0
    const held: number[] = []
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const part = chunk.subarray(0, Math.min(size - given, chunk.length))
        given += part.length
        if (part.length > 0) controller.enqueue(part)
        if (given === size) controller.close()
      },
    })
    const take = async (stream: ReadableStream<Uint8Array>): Promise<number> => {
      let taken = 0
      for await (const part of stream) {
        taken += part.length
        held.push(given - taken)
        await Bun.sleep(0)
      }
      return taken
    }
    return { body, take, mostHeld: () => Math.max(...held) }
  }
  const [up, down] = [flow(), flow()]
  await using server = listening(async (request) => {
    if (request.method === 'GET') return new Response(down.body)
    return Response.json({ taken: await up.take(request.body!), length: request.headers.get('content-length') })
  })
  const send = to([server.url])
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) }
  const sent = await send(new Request('http://chat.example.org/', { method: 'POST', body: up.body, headers }))
  expect(await sent.json()).toEqual({ taken: size, length: String(size) })
  expect(up.mostHeld()).toBeLessThan(most)
  expect(await down.take((await send(get())).body!)).toBe(size)
  expect(down.mostHeld()).toBeLessThan(most)
}, 60_000)
