import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Deployment, eventually, SETUP_CODE, startDeployment } from '@conntext/testing'
import { hasPrometheus, type Prometheus, promtool, startPrometheus } from '@conntext/testing/prometheus'
import { Driver } from './at-rest/drive.ts'

/** What docker/monitoring has is tried by a real Prometheus, which asks a real server. */
const MINUTES = 120_000
const FOLDER = fileURLToPath(new URL('../docker/monitoring', import.meta.url))

type Rules = { groups: { rules: { alert: string; expr: string }[] }[] }
type Dashboard = { panels: { title: string; targets?: { expr: string }[] }[] }

const read = (name: string) => readFile(join(FOLDER, name), 'utf8')
const rules = async () => (Bun.YAML.parse(await read('alerts.yml')) as Rules).groups.flatMap((group) => group.rules)

if (!hasPrometheus()) console.log('No Prometheus: alerts and the dashboard are not tried by it.')

describe.skipIf(!hasPrometheus())('the files for Prometheus', () => {
  test('are such', async () => {
    expect(await promtool(FOLDER, 'check', 'rules', 'alerts.yml')).toMatchObject({ code: 0 })
    expect(await promtool(FOLDER, 'check', 'config', '--syntax-only', 'prometheus.yml')).toMatchObject({ code: 0 })
  })

  test('each alert comes when it should, and not before', async () => {
    const provoked = Bun.YAML.parse(await read('alerts.test.yml')) as { tests: { name: string }[] }
    expect([...new Set(provoked.tests.map(({ name }) => name))]).toEqual((await rules()).map(({ alert }) => alert))
    const { code, said } = await promtool(FOLDER, 'test', 'rules', 'alerts.test.yml')
    expect(said).toContain('SUCCESS')
    expect(code).toBe(0)
  })
})

// What only a fault brings about, a Redis, or a collector: there is nothing to see of it, which is well.
const NOTHING =
  /5xx|conntext_(bus_\w+|trace_\w+|\w+_failures_total|gateway_(gap_repairs|resets|connections_closed)_total|outbox_due)\b/

describe.skipIf(!hasPrometheus())('a Prometheus that asks a server', () => {
  let server: Deployment
  let driver: Driver
  let token: string
  let prometheus: Prometheus

  beforeAll(async () => {
    server = await startDeployment()
    driver = new Driver(server.url)
    const owner = { username: 'olga', password: driver.newPassword(), setupCode: SETUP_CODE }
    token = (await driver.register(owner)).accessToken
    const body = { name: 'prometheus', scopes: ['system.view'], password: owner.password }
    const made = await driver.call<{ token: string }>('POST', '/v1/auth/tokens', { token, body })
    prometheus = await startPrometheus(async (folder) => {
      const credentials = join(folder, 'conntext-token')
      await writeFile(credentials, made.token)
      return {
        global: { scrape_interval: '1s' },
        scrape_configs: [
          {
            job_name: 'conntext',
            metrics_path: '/v1/system/metrics',
            authorization: { type: 'Bearer', credentials_file: credentials },
            static_configs: [{ targets: [new URL(server.url).host] }],
            honor_labels: true,
          },
        ],
        rule_files: [join(FOLDER, 'alerts.yml')],
      }
    })
  }, MINUTES)
  afterAll(async () => {
    await prometheus?.[Symbol.asyncDispose]()
    await server?.[Symbol.asyncDispose]()
  }, MINUTES)

  test(
    'with an API token that may no more is answered, again and again',
    async () => {
      await eventually(async () => {
        const [target] = await prometheus.targets()
        return target?.health === 'up' && target.lastError === ''
      }, 60_000)
    },
    MINUTES,
  )

  test(
    'has something for every panel of the dashboard',
    async () => {
      const dashboard = JSON.parse(await read('grafana.json')) as Dashboard
      const asked = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
      const { id } = await driver.call<{ id: string }>('POST', '/v1/channels', {
        token,
        body: { name: 'watched', type: 'text' },
      })
      const use = async () => {
        await driver.call('POST', `/v1/channels/${id}/messages`, { token, body: { content: 'x' } })
        await upload(server.url, token)
      }
      const missing = async () => {
        await use()
        const counts = asked.map(async (expr) => {
          const found = await prometheus.count(expr.replaceAll('$__rate_interval', '1m'))
          return found > 0 || NOTHING.test(expr) ? [] : [expr]
        })
        return (await Promise.all(counts)).flat()
      }
      let last: string[] | undefined
      await eventually(async () => {
        last = await missing()
        return last.length === 0
      }, 60_000).catch((error: unknown) => {
        if (!last) throw error
      })
      expect(last).toEqual([])
    },
    MINUTES,
  )
})

/** A small file, so that the object store is used. */
async function upload(url: string, token: string): Promise<void> {
  const answer = await fetch(`${url}/v1/uploads?filename=x.txt`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' },
    body: `words ${crypto.randomUUID()}`,
  })
  if (!answer.ok) throw new Error(`an upload was answered with ${answer.status}: ${await answer.text()}`)
}
