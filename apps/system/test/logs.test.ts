import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { LogEntry } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { startProxy } from './support/proxy.ts'
import { type Caller, type System, startSystem } from './support/system.ts'

let system: System
let viewer: Caller
let proxy: Awaited<ReturnType<typeof startProxy>>

beforeAll(async () => {
  system = await startSystem({
    async clickhouseUrl(real) {
      proxy = await startProxy(real)
      return proxy.url
    },
  })
  viewer = await system.member('system.view')
})
afterAll(async () => {
  await system.service.logs.stop()
  await system[Symbol.asyncDispose]()
  await proxy.close()
})

const entry = (fields: Partial<LogEntry> = {}): LogEntry => ({
  id: newId(),
  at: new Date().toISOString(),
  service: 'messaging',
  instance: 'host/1',
  level: 'warn',
  message: 'it happened',
  requestId: null,
  traceId: null,
  fields: {},
  ...fields,
})

type Page = { items: LogEntry[]; nextCursor: string | null }
const list = async (query: string) => (await system.call('GET', `/v1/logs?${query}`, viewer)).body as Page

/** Once there are so many that match. */
const found = (query: string, count: number) =>
  eventually(async () => {
    const { items } = await list(query)
    return items.length >= count ? items : undefined
  })

test('lines of several services are found by their request, newest first, as they were', async () => {
  const requestId = `r-${newId()}`
  const at = (ms: number) => new Date(Date.now() - 10_000 + ms).toISOString()
  const lines = [
    entry({ requestId, at: at(1), service: 'gateway', level: 'info', traceId: 'a'.repeat(32) }),
    entry({ requestId, at: at(2), service: 'auth', fields: { path: '/v1/roles', count: 3 } }),
    entry({ requestId, at: at(3), message: 'é☃𝄞 "quoted" \\ {x:String}', level: 'error' }),
  ]
  await system.port.ingestLogs({ entries: lines, lost: 0 })
  await system.port.ingestLogs({ entries: [entry({ requestId: 'another' })], lost: 0 })
  expect(await found(`requestId=${requestId}`, 3)).toEqual(lines.toReversed())
  expect((await list(`traceId=${'a'.repeat(32)}`)).items).toEqual([lines[0]!])
})

test('filters narrow: by service, severity, text in any case, and time', async () => {
  const requestId = `r-${newId()}`
  const of = (query: string) => list(`requestId=${requestId}&${query}`)
  const old = entry({ requestId, at: new Date(Date.now() - 7_200_000).toISOString(), level: 'debug' })
  const auth = entry({ requestId, service: 'auth', level: 'info', fields: { route: 'GET /v1/Needle' } })
  const loud = entry({ requestId, level: 'error', message: 'a NEEDLE here' })
  await system.port.ingestLogs({ entries: [old, auth, loud], lost: 0 })
  await found(`requestId=${requestId}`, 3)
  const ids = (page: Page) => page.items.map(({ id }) => id).sort()
  expect(ids(await of('service=auth'))).toEqual([auth.id])
  expect(ids(await of('level=info'))).toEqual([auth.id, loud.id].sort())
  expect(ids(await of('level=error'))).toEqual([loud.id])
  expect(ids(await of('text=needle'))).toEqual([auth.id, loud.id].sort())
  expect(ids(await of(`text=${encodeURIComponent("x' OR 1=1 --")}`))).toEqual([])
  expect(ids(await of(`from=${encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString())}`))).toEqual(
    [auth.id, loud.id].sort(),
  )
  expect(ids(await of(`to=${encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString())}`))).toEqual([old.id])
})

test('pages follow one another without a gap, also among lines of the same moment', async () => {
  const requestId = `r-${newId()}`
  const at = new Date().toISOString()
  const lines = Array.from({ length: 25 }, () => entry({ requestId, at }))
  await system.port.ingestLogs({ entries: lines, lost: 0 })
  await found(`requestId=${requestId}&limit=100`, 25)
  const seen: string[] = []
  for (let cursor = ''; ; ) {
    const page = await list(`requestId=${requestId}&limit=10${cursor}`)
    seen.push(...page.items.map(({ id }) => id))
    if (page.nextCursor === null) break
    cursor = `&cursor=${page.nextCursor}`
  }
  expect(seen).toEqual(
    lines
      .map(({ id }) => id)
      .sort()
      .reverse(),
  )
})

test('what was lost on the way is told by a line in its place', async () => {
  const service = `s-${newId().slice(-8)}`
  const { dropped } = system.service.logs
  await system.port.ingestLogs({ entries: [entry({ service })], lost: 17 })
  expect(system.service.logs.dropped).toBe(dropped + 17)
  const [first, second] = await found(`service=${service}`, 2)
  expect([first!, second!].find(({ message }) => message === 'lines of the log were lost')).toMatchObject({
    level: 'warn',
    fields: { lost: 17 },
  })
})

test('while ClickHouse is away lines are taken at once, and stored when it is back', async () => {
  const requestId = `r-${newId()}`
  proxy.away()
  const began = performance.now()
  await system.port.ingestLogs({ entries: [entry({ requestId })], lost: 0 })
  expect(performance.now() - began).toBeLessThan(5_000)
  const refused = await system.call('GET', '/v1/logs', viewer)
  expect(refused).toMatchObject({ status: 503, body: { code: 'dependency.away' } })
  proxy.back()
  expect(await found(`requestId=${requestId}`, 1)).toHaveLength(1)
}, 30_000)

test('reading the logs is recorded, with the names of the filters alone', async () => {
  const reader = await system.member('system.view')
  await system.call('GET', '/v1/logs?text=whatever&level=warn', reader)
  const byReader = async () => (await system.trail('logs.queried')).find(({ actor }) => actor.id === reader!.userId)
  expect(await eventually(byReader)).toMatchObject({
    data: { filters: ['text', 'level'] },
  })
})

test('only who may see the system reads them', async () => {
  expect((await system.call('GET', '/v1/logs')).status).toBe(401)
  expect((await system.call('GET', '/v1/logs', await system.member('audit.view'))).status).toBe(403)
})

test.each(['level=loud', 'traceId=short', 'cursor=nonsense', 'limit=0', 'unknown=1', 'text='])(
  '?%s is refused',
  async (query) => {
    expect((await system.call('GET', `/v1/logs?${query}`, viewer)).status).toBe(422)
  },
)

test('a window that ends before it begins is refused', async () => {
  const query = 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z'
  expect(await system.call('GET', `/v1/logs?${query}`, viewer)).toMatchObject({
    status: 422,
    body: { code: 'logs.badWindow' },
  })
})
