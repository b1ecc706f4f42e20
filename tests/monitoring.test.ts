import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { Driver } from './at-rest/drive.ts'

/** A server that is watched: what its processes count, all in one place, is what the dashboard and the alerts ask for. */
const MINUTES = 120_000

let server: Deployment
let driver: Driver
let token: string
let channelId: string

beforeAll(async () => {
  server = await startDeployment()
  driver = new Driver(server.url)
  const owner = { username: 'olga', password: driver.newPassword(), setupCode: SETUP_CODE }
  token = (await driver.register(owner)).accessToken
  const body = { name: 'watched', type: 'text' }
  channelId = (await driver.call<{ id: string }>('POST', '/v1/channels', { token, body })).id
}, MINUTES)
afterAll(() => server[Symbol.asyncDispose](), MINUTES)

type Sample = { name: string; labels: Record<string, string>; value: number }

async function metrics(): Promise<{ text: string; samples: Sample[] }> {
  const { status, text } = await driver.try('GET', '/v1/system/metrics', { token })
  expect(status).toBe(200)
  const samples = text.split('\n').flatMap((line) => {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (!found) return []
    const labels = Object.fromEntries(
      [...(found[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k!, v!]),
    )
    return [{ name: found[1]!, labels, value: Number(found[3]) }]
  })
  return { text, samples }
}

const isSplit = () => server.processes.length > 1

test(
  'every process answers, and says which it is',
  async () => {
    const processes = await eventually(async () => {
      const found = new Set((await metrics()).samples.map(({ labels }) => `${labels.process} ${labels.instance}`))
      return found.size >= server.processes.length ? [...found] : undefined
    }, 30_000)
    expect(processes).toHaveLength(server.processes.length)
    type Status = { version: string; processes: { service: string; away: boolean; pid: number }[]; counts: object }
    const status = await eventually(async () => {
      const found = await driver.call<Status>('GET', '/v1/system/status', { token })
      return found.processes.every(({ away }) => !away) ? found : undefined
    })
    expect(status.processes.map(({ pid }) => pid).sort()).toEqual(server.processes.map(({ pid }) => pid).sort())
    expect(status.counts).toEqual({ members: 1, bots: 0, channels: 2, roles: expect.any(Number) as number })
  },
  MINUTES,
)

test(
  'what is asked is counted by its operation, whatever the path',
  async () => {
    const count = async (labels: Record<string, string>) =>
      (await metrics()).samples
        .filter(({ name }) => name === 'conntext_operations_total')
        .filter((one) => Object.entries(labels).every(([name, value]) => one.labels[name] === value))
        .reduce((sum, { value }) => sum + value, 0)
    const sent = { service: 'messaging', operation: 'sendMessage' }
    const before = await count({ ...sent, status: '2xx' })
    for (let i = 0; i < 5; i += 1) {
      await driver.call('POST', `/v1/channels/${channelId}/messages`, { token, body: { content: 'x' } })
    }
    await driver.try('POST', `/v1/channels/${channelId}/messages`, { token, body: {} })
    await driver.try('GET', `/v1/channels/${crypto.randomUUID()}/nothing/such`, { token })
    // Whoever answers counts a moment later.
    await eventually(async () => (await count({ ...sent, status: '2xx' })) >= before + 5)
    await eventually(async () => (await count({ ...sent, status: '4xx' })) > 0)
    expect(await count({ ...sent, status: '2xx' })).toBe(before + 5)
    expect(await count({ ...sent, status: '4xx' })).toBe(1)
    const { text } = await metrics()
    expect(text).not.toContain('nothing/such')
    expect(text).not.toContain(channelId)
  },
  MINUTES,
)

/** The names of the metrics that an expression of PromQL asks for. */
const namesIn = (expression: string): string[] => [
  ...new Set(expression.match(/\b(?:conntext|process|nodejs)_\w+/g) ?? []),
]

const read = (name: string) => readFile(fileURLToPath(new URL(`../docker/monitoring/${name}`, import.meta.url)), 'utf8')

test(
  'the dashboard and the alerts ask for what there is, and nothing else',
  async () => {
    type Panel = { title: string; targets?: { expr: string }[] }
    const dashboard = JSON.parse(await read('grafana.json')) as { panels: Panel[] }
    const alerts = Bun.YAML.parse(await read('alerts.yml')) as {
      groups: { rules: { alert: string; expr: string }[] }[]
    }
    const asked = [
      ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const)),
      ...alerts.groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => [alert, expr] as const)),
    ]
    expect(asked.length).toBeGreaterThan(50)
    const { text } = await metrics()
    const families = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]))
    const known = (name: string) =>
      families.has(name) ||
      ['_bucket', '_sum', '_count'].some(
        (end) => name.endsWith(end) && families.get(name.slice(0, -end.length)) === 'histogram',
      )
    // These come about where there is a Redis, or a collector.
    const elsewhere = isSplit() ? /^$/ : /^conntext_(bus_|trace_)/
    const missing = asked.flatMap(([title, expr]) =>
      namesIn(expr)
        .filter((name) => !known(name) && !elsewhere.test(name) && name !== 'conntext_trace_spans_total')
        .map((name) => `${title}: ${name}`),
    )
    expect(missing).toEqual([])
  },
  MINUTES,
)

test(
  'all processes log as much as they are told while they run, and one request is followed through them',
  async () => {
    type Status = { processes: { logLevel: string }[] }
    const levels = async () =>
      (await driver.call<Status>('GET', '/v1/system/status', { token })).processes.map(({ logLevel }) => logLevel)
    const tell = (level: string | null) =>
      driver.call('PATCH', '/v1/logs/settings', { token, body: { level, retentionDays: 2 } })
    const [own] = await levels()
    await tell('debug')
    await eventually(async () => (await levels()).every((level) => level === 'debug'), 60_000)
    const path = `/v1/channels/${channelId}/messages`
    const { headers } = await driver.try('POST', path, { token, body: { content: 'followed' } })
    const services = await eventually(async () => {
      const query = `/v1/logs?requestId=${headers.get('x-request-id')}`
      const { items } = await driver.call<{ items: { service: string }[] }>('GET', query, { token })
      const found = new Set(items.map(({ service }) => service))
      return found.has('gateway') && found.has('messaging') ? found : undefined
    }, 60_000)
    expect(services.size).toBeGreaterThanOrEqual(2)
    await tell(null)
    await eventually(async () => (await levels()).every((level) => level === own), 60_000)
  },
  2 * MINUTES,
)

test(
  'nobody without the permission, and no stranger, reads figures',
  async () => {
    for (const path of ['/v1/system/metrics', '/v1/system/status', '/metrics']) {
      expect((await driver.try('GET', path)).status).toBe(401)
    }
  },
  MINUTES,
)
