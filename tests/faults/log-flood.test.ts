import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import type { AuditEvent } from '@conntext/sdk'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { ailing, ask, listAll, metric, settleIn, UNLIMITED } from './asking.ts'

const MINUTES = 240_000
const AT_ONCE = 20
/** What is asked for and isn't there is logged, as long as it is. */
const LONG = `/v1/${'x'.repeat(6_000)}`
const MOST_GROWTH_BYTES = 400 * 1024 * 1024

/** Everything is logged, more than is taken: what would store it stands still, as where its disk does. */
let server: ServerProcess
let room: Awaited<ReturnType<typeof settleIn>>
let clickhouse: number

beforeAll(async () => {
  server = await startServerProcess({ ...UNLIMITED, CONNTEXT_LOG_LEVEL: 'debug' })
  room = await settleIn(server.url)
  clickhouse = await clickHouseOf(server.pid)
}, MINUTES)
afterAll(async () => {
  if (clickhouse) process.kill(clickhouse, 'SIGCONT')
  await server?.[Symbol.asyncDispose]()
}, MINUTES)

/** The engine is a process of the server's own. */
async function clickHouseOf(pid: number): Promise<number> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const [status, command] = await Promise.all(
      ['status', 'cmdline'].map((file) => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '')),
    )
    if (command?.includes('clickhouse/child') && new RegExp(`^PPid:\\s+${pid}$`, 'm').test(status!)) return Number(name)
  }
  throw new Error('the server has no ClickHouse')
}

async function residentBytes(): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

const dropped = () => metric(server.url, room.token, 'conntext_log_store_lines_total', 'outcome="dropped"')

test(
  'a flood of logs that nobody stores is dropped and counted; what is said and what is recorded is not',
  async () => {
    const { token } = room
    const memoryBefore = await residentBytes()
    process.kill(clickhouse, 'SIGSTOP')
    let over = false
    const flood = Array.from({ length: AT_ONCE }, async () => {
      while (!over) await fetch(server.url + LONG, { headers: { authorization: `Bearer ${token}` } })
    })
    const roles: string[] = []
    const waits: number[] = []
    await eventually(async () => {
      const asked = performance.now()
      expect((await room.say('is anybody there?')).status).toBe(201)
      waits.push(performance.now() - asked)
      const body = { name: `Role ${roles.length}`, permissions: [] }
      const made = await ask<{ id: string }>(server.url, 'POST', '/v1/roles', { token, body })
      expect(made.status).toBe(201)
      roles.push(made.body.id)
      return (await dropped()) > 0
    }, 90_000).finally(() => {
      over = true
    })
    await Promise.all(flood)
    const ill = ailing(await room.health())
    expect(ill['system: logs']).toMatchObject({ state: 'degraded', detail: expect.stringMatching(/not kept: \d+/) })
    expect(ill['system: clickhouse']?.state).toBe('down')
    const ready = await ask(server.url, 'GET', '/readyz')
    expect(ready).toMatchObject({ status: 200 })
    expect((await residentBytes()) - memoryBefore).toBeLessThan(MOST_GROWTH_BYTES)
    console.log(
      `${await dropped()} lines dropped, ${roles.length} sends meanwhile, the slowest within ` +
        `${Math.round(Math.max(...waits))} ms; memory grew by ${Math.round(((await residentBytes()) - memoryBefore) / 1e6)} MB`,
    )

    process.kill(clickhouse, 'SIGCONT')
    const history = await room.history()
    expect(room.acknowledged.filter(({ id, nonce }) => history.get(id) !== nonce)).toEqual([])
    const recorded = await eventually(async () => {
      const path = '/v1/audit/events?action=role.created&limit=100'
      const found = await listAll<AuditEvent>(server.url, token, path).catch(() => [])
      return roles.every((id) => found.some(({ target }) => target.id === id)) ? found : undefined
    }, 90_000)
    expect(new Set(recorded.map(({ target }) => target.id)).size).toBe(recorded.length)
    // And the log itself says that it isn't whole.
    await eventually(async () => {
      const { body } = await ask<{ items?: unknown[] }>(
        server.url,
        'GET',
        '/v1/logs?text=lines%20of%20the%20log%20were%20lost',
        { token },
      )
      return body.items && body.items.length > 0
    }, 90_000)
    expect(await metric(server.url, token, 'conntext_outbox_refused')).toBe(0)
  },
  MINUTES,
)
