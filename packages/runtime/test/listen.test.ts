import { expect, test } from 'bun:test'
import { freePort } from '@conntext/embedded'
import { createTransport } from '../src/index.ts'
import { credentialsOf } from '../src/settings.ts'
import { CREDENTIAL, listening, speaking } from './support/servers.ts'

const NEXT = 'credential-that-follows'
const SERVICE = 'x-conntext-service'
const as = (credential: string) => ({ headers: { [SERVICE]: credential } })

test('only who shows the service credential comes in; whether it lives and is ready anybody may ask', async () => {
  await using server = listening(() => Response.json({ done: true }))
  for (const path of ['/v1/things', '/internal/messaging/health', '/metrics', '/nothing']) {
    for (const init of [{}, as('wrong'), as('')]) {
      const refused = await fetch(`${server.url}${path}`, init)
      expect(refused.status).toBe(401)
      expect(await refused.json()).toMatchObject({ code: 'port.unauthorised' })
    }
    expect((await fetch(`${server.url}${path}`, as(CREDENTIAL))).status).toBe(200)
  }
  const live = await fetch(`${server.url}/livez`)
  expect([live.status, await live.json()]).toEqual([200, { alive: true, service: 'messaging', version: '0.0.0-test' }])
  const ready = await fetch(`${server.url}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([200, { ready: true, state: 'up' }])
})

test('a service sees neither the credential of a request nor any but the one in force in a call', async () => {
  const seen: (string | null)[] = []
  await using server = listening(
    (request) => {
      seen.push(request.headers.get(SERVICE))
      return new Response()
    },
    { accepted: [NEXT, CREDENTIAL] },
  )
  await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  await fetch(`${server.url}/internal/messaging/do`, as(CREDENTIAL))
  expect(seen).toEqual([null, NEXT])
})

test('the credential is changed one process after the other, and nobody is refused', async () => {
  const steps: [string, string][] = [
    // What those who call show, and what those who are called take.
    [CREDENTIAL, CREDENTIAL],
    [CREDENTIAL, `${CREDENTIAL},${NEXT}`],
    [`${NEXT},${CREDENTIAL}`, `${CREDENTIAL}\n${NEXT}`],
    [`${NEXT}\n${CREDENTIAL}\n`, `${NEXT}, ${CREDENTIAL}`],
    [NEXT, `${NEXT},${CREDENTIAL}`],
    [NEXT, NEXT],
  ]
  for (const [caller, called] of steps) {
    const { accepted } = credentialsOf(called)
    await using server = listening(() => new Response(), { accepted: [...accepted] })
    const send = createTransport({
      service: 'messaging',
      urls: [server.url],
      credential: credentialsOf(caller).shown,
    })
    expect((await send(new Request('http://localhost/'))).status).toBe(200)
  }
})

test('figures tell what was asked, also to who shows the credential as a bearer', async () => {
  await using server = listening(() => new Response(null, { status: 204 }))
  await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  await fetch(`${server.url}/internal/messaging/do`, { ...as(CREDENTIAL), method: 'POST' })
  const figures = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${CREDENTIAL}` } })
  const text = await figures.text()
  expect(figures.headers.get('content-type')).toStartWith('text/plain')
  expect(text).toContain('conntext_service_requests_total{kind="request",method="GET",status="2xx"} 1')
  expect(text).toContain('conntext_service_requests_total{kind="call",method="POST",status="2xx"} 1')
  expect(text).toContain('process_cpu_seconds_total')
})

test('until the service has started it lives, is not ready, and does nothing', async () => {
  await using server = listening(() => new Response('done'), { starting: true })
  expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  const early = await fetch(`${server.url}/readyz`)
  expect([early.status, await early.json()]).toEqual([503, { ready: false, state: 'starting' }])
  const asked = await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  expect(asked.status).toBe(503)
  expect(asked.headers.get('x-conntext-state')).toBe('starting')
  server.serve()
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
})

test('a service whose health is down, or can’t be told, is not ready', async () => {
  await using down = listening(() => new Response(), {
    health: async () => ({ service: 'messaging', state: 'down', dependencies: [] }),
  })
  expect((await fetch(`${down.url}/readyz`)).status).toBe(503)
  await using failing = listening(() => new Response(), {
    health: () => Promise.reject(new Error('no')),
  })
  expect(await (await fetch(`${failing.url}/readyz`)).json()).toEqual({ ready: false, state: 'down' })
})

test('what fails within a service is told to nobody', async () => {
  await using server = listening(() => {
    throw new Error('a secret')
  })
  const failed = await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  expect(failed.status).toBe(500)
  expect(await failed.text()).not.toContain('a secret')
})

test('a port that is taken is told in terms of the settings', async () => {
  await using other = await speaking(() => {})
  expect(() => listening(() => new Response(), { port: Number(new URL(other.url).port) })).toThrow(
    /CONNTEXT_PORT: port \d+ is taken/,
  )
})

test('who drains says so, finishes what is under way, and is gone', async () => {
  const finish = Promise.withResolvers<Response>()
  await using server = listening((request) => (request.url.endsWith('/slow') ? finish.promise : new Response('served')))
  const slow = fetch(`${server.url}/slow`, as(CREDENTIAL))
  await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  const drained = server.drain()
  const ready = await fetch(`${server.url}/readyz`)
  expect([ready.status, await ready.json()]).toEqual([503, { ready: false, state: 'draining' }])
  const late = await fetch(`${server.url}/v1/things`, as(CREDENTIAL))
  expect([late.status, late.headers.get('connection'), late.headers.get('x-conntext-state')]).toEqual([
    200,
    'close',
    'draining',
  ])
  finish.resolve(new Response('finished'))
  expect(await (await slow).text()).toBe('finished')
  await drained
  expect(await fetch(`${server.url}/livez`).catch((error) => error.code)).toBe('ECONNREFUSED')
})

test('while its only instance is restarted again and again, no request fails and none is done twice', async () => {
  const done = new Map<string, number>()
  const answer = async (request: Request) => {
    const id = await request.text()
    done.set(id, (done.get(id) ?? 0) + 1)
    await Bun.sleep(Math.random() * 5)
    return Response.json({ id })
  }
  // One that no outgoing connection takes while nobody listens on it.
  const port = await freePort()
  let server = listening(answer, { port })
  const send = createTransport({ service: 'messaging', urls: [server.url], credential: CREDENTIAL })
  let running = true
  const sent: string[] = []
  const work = async (worker: number, pauseMs: number) => {
    for (let i = 0; running; i += 1) {
      const id = `${worker}-${i}`
      const method = ['POST', 'PUT', 'DELETE', 'PATCH'][i % 4]!
      const headers = { 'content-type': 'application/json', 'content-length': String(id.length) }
      const reply = await send(new Request('http://localhost/', { method, body: id, headers }))
      expect([reply.status, await reply.json()]).toEqual([200, { id }])
      sent.push(id)
      await Bun.sleep(pauseMs * Math.random())
    }
  }
  // Some ask all the time, some come back after a while, with connections that have lain idle.
  const workers = Promise.all([0, 0, 5, 50, 500, 3_000].map((pause, worker) => work(worker, pause)))
  for (let i = 0; i < 3; i += 1) {
    await Bun.sleep(300)
    await server.drain()
    await Bun.sleep(200)
    server = listening(answer, { port })
  }
  running = false
  await workers
  await server.close()
  expect(sent.length).toBeGreaterThan(100)
  expect([...done.values()].filter((times) => times !== 1)).toEqual([])
  expect(done.size).toBe(sent.length)
}, 60_000)

test('a host of one letter is no hindrance', async () => {
  await using server = listening((request) => new Response(request.url))
  const answer = await fetch(`${server.url}/v1/things?x=1`, { headers: { [SERVICE]: CREDENTIAL, host: 'm' } })
  expect(await answer.text()).toBe('http://localhost/v1/things?x=1')
})
