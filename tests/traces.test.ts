import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { Driver } from './at-rest/drive.ts'

/** A collector as OTLP over HTTP has it, and a server that tells it of everything. */
const MINUTES = 120_000

type Value = { stringValue?: string; intValue?: number | string }
type RawSpan = {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  attributes?: { key: string; value: Value }[]
}
type Export = {
  resourceSpans: {
    resource: { attributes: { key: string; value: Value }[] }
    scopeSpans: { spans: RawSpan[] }[]
  }[]
}
type Seen = RawSpan & { service: string; text: string | undefined }

const spans: Seen[] = []
let raw = ''
const collector = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  async fetch(request) {
    expect(new URL(request.url).pathname).toBe('/v1/traces')
    const text = await request.text()
    raw += text
    for (const { resource, scopeSpans } of (JSON.parse(text) as Export).resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')!.value.stringValue!
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) {
        const attribute = span.attributes?.find(({ key }) => key === 'db.query.text')
        spans.push({ ...span, service, text: attribute?.value.stringValue })
      }
    }
    return Response.json({})
  },
})

let server: Deployment
let driver: Driver
let token: string
let channelId: string

beforeAll(async () => {
  server = await startDeployment({ CONNTEXT_OTLP_URL: collector.url.origin })
  driver = new Driver(server.url)
  const owner = { username: 'olga', password: driver.newPassword(), setupCode: SETUP_CODE }
  token = (await driver.register(owner)).accessToken
  const body = { name: 'traced', type: 'text' }
  channelId = (await driver.call<{ id: string }>('POST', '/v1/channels', { token, body })).id
}, MINUTES)
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await collector.stop(true)
}, MINUTES)

const newTraceId = () => crypto.randomUUID().replaceAll('-', '')

async function send(content: string, traceparent: string): Promise<Response> {
  return fetch(`${server.url}/v1/channels/${channelId}/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', traceparent },
    body: JSON.stringify({ content }),
  })
}

/** A client that is told of everything. */
async function connect() {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/gateway`)
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  const answered = (pattern: RegExp) =>
    new Promise((resolve) =>
      socket.addEventListener('message', ({ data }) => pattern.test(String(data)) && resolve(data)),
    )
  const ready = answered(/"op":"ready"/)
  socket.send(JSON.stringify({ op: 'identify', token }))
  await ready
  return { socket, answered }
}

const ofTrace = (traceId: string) => spans.filter((span) => span.traceId === traceId)

/** From the outermost that has come in to this one, by their names. */
function pathOf(span: Seen): string[] {
  const parent = spans.find((one) => one.spanId === span.parentSpanId && one.traceId === span.traceId)
  return [...(parent ? pathOf(parent) : []), span.name]
}

/** The path to a span, once it leads from `outermost` on: each process tells of its own spans in its own time. */
const pathTo = (outermost: string, isWanted: (span: Seen) => boolean): Promise<string[]> =>
  eventually(
    () =>
      spans
        .filter(isWanted)
        .map(pathOf)
        .find(([first]) => first === outermost),
    30_000,
  )

test(
  'one trace leads from the client through the gateway and messaging to SQL, the bus and the audit',
  async () => {
    const { socket, answered } = await connect()
    const told = answered(/"t":"message.created"/)
    const traceId = newTraceId()
    const words = `words-${crypto.randomUUID()}`
    expect((await send(words, `00-${traceId}-00f067aa0ba902b7-01`)).status).toBe(201)
    const ofThis = (name: string) => (span: Seen) => span.traceId === traceId && span.name === name
    const isInsert = ({ text }: Seen) => /insert into "?messages\b/i.test(text ?? '')
    const insert = await pathTo('gateway', (span) => ofThis('with')(span) && isInsert(span))
    expect(insert).toEqual(['gateway', 'sendMessage', 'with'])
    const gateway = ofTrace(traceId).find(({ name }) => name === 'gateway')!
    // Below the client's own span.
    expect(gateway.parentSpanId).toBe('00f067aa0ba902b7')
    await told
    socket.close()
    const heard = await pathTo('gateway', ofThis('bus stream'))
    expect(heard.slice(0, 2)).toEqual(['gateway', 'sendMessage'])
    const services = new Set(ofTrace(traceId).map(({ service }) => service))
    const isSplit = server.processes.length > 1
    for (const one of isSplit ? ['conntext-gateway', 'conntext-messaging'] : ['conntext'])
      expect(services).toContain(one)
    // A statement is told, what was in it is not.
    expect(raw).not.toContain(words)
  },
  MINUTES,
)

test(
  'what a request owes to others belongs to its trace as well: its audit event, to ClickHouse',
  async () => {
    const traceId = newTraceId()
    const made = await fetch(`${server.url}/v1/roles`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({ name: 'traced' }),
    })
    expect(made.status).toBe(201)
    const isIngest = (span: Seen) => span.traceId === traceId && span.name === 'system.ingestAudit'
    expect(await pathTo('gateway', isIngest)).toContain('outbox audit')
    const event = await eventually(async () => {
      const path = '/v1/audit/events?action=role.created'
      const { items } = await driver.call<{ items: { traceId?: string }[] }>('GET', path, { token })
      return items.find((one) => one.traceId === traceId)
    }, 20_000)
    expect(event).toBeDefined()
  },
  MINUTES,
)

test(
  'a frame of a WebSocket begins a trace',
  async () => {
    const { socket, answered } = await connect()
    const reply = answered(/"op":"reply"/)
    socket.send(JSON.stringify({ op: 'message.send', id: 7, channelId, nonce: crypto.randomUUID(), content: 'x' }))
    await reply
    socket.close()
    const call = await pathTo('frame message.send', ({ name }) => name === 'messaging.sendMessages')
    expect(call).toEqual(['frame message.send', 'messaging.sendMessages'])
  },
  MINUTES,
)

test(
  'a client that doesn’t want its trace kept is left alone, and one that writes nonsense gets one of ours',
  async () => {
    const unkept = newTraceId()
    expect((await send('x', `00-${unkept}-00f067aa0ba902b7-00`)).status).toBe(201)
    expect((await send('x', '00-nonsense-01')).status).toBe(201)
    const marker = newTraceId()
    expect((await send('x', `00-${marker}-00f067aa0ba902b7-01`)).status).toBe(201)
    await eventually(() => ofTrace(marker).length > 3, 20_000)
    expect(ofTrace(unkept)).toEqual([])
  },
  MINUTES,
)
