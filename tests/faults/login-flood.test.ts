import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import type { AuditEvent } from '@conntext/sdk'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { ask, listAll, metric, PASSWORD, settleIn, UNLIMITED } from './asking.ts'

const MINUTES = 300_000
const A_MINUTE = 10_000
const LASTS_MS = 25_000
const AT_ONCE = 100
const NETWORKS = 60
const NAMES = 100
/** What the trail takes of refusals in a minute, one by one. */
const MOST_RECORDED = 600
const MOST_GROWTH_BYTES = 300 * 1024 * 1024
const HOME = '198.51.100.1'

/**
 * Failing logins, ten thousand a minute, from sixty addresses, in the names of an account and of made-up ones, without the
 * gateway's limits in their way: others log in and write meanwhile.
 */
let server: ServerProcess
let room: Awaited<ReturnType<typeof settleIn>>

beforeAll(async () => {
  server = await startServerProcess({ ...UNLIMITED, CONNTEXT_TRUSTED_PROXIES: '1' })
  room = await settleIn(server.url)
}, MINUTES)
afterAll(() => server?.[Symbol.asyncDispose](), MINUTES)

const login = (name: string, password: string, address: string) =>
  ask<{ accessToken: string }>(server.url, 'POST', '/v1/auth/login', {
    body: { login: name, password },
    headers: { 'x-forwarded-for': address },
  })

/** As many as come in the time; where the machine is too slow for that, as fast as it is. */
async function flood(attempt: (i: number) => Promise<void>): Promise<void> {
  const began = performance.now()
  let next = 0
  const work = async () => {
    while (performance.now() - began < LASTS_MS) {
      const i = next++
      await Bun.sleep(Math.max(0, began + (i / A_MINUTE) * 60_000 - performance.now()))
      await attempt(i)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

async function residentBytes(): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}

const events = (action: string, token: string) =>
  listAll<AuditEvent>(server.url, token, `/v1/audit/events?action=${action}&limit=100`)

/** How many failed logins the trail tells of: one by one, as repeats, and summed up. */
async function counted(token: string): Promise<number> {
  const failed = (await events('login.failed', token)).map(({ data }) => Number(data.repeats ?? 1))
  const summed = (await events('refusals.summed', token)).map(({ data }) =>
    Number((data.actions as Record<string, number>)['login.failed'] ?? 0),
  )
  return [...failed, ...summed].reduce((sum, count) => sum + count, 0)
}

const percentile = (times: number[], share: number): number =>
  Math.round(times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * share)]!)
const told = (times: number[]): string => `p50 ${percentile(times, 0.5)} ms, slowest ${percentile(times, 1)} ms`

test(
  'a flood of failing logins: refused cheaply, all of them counted in few records, and nobody else is kept out',
  async () => {
    const open = await ask(server.url, 'PATCH', '/v1/server', { token: room.token, body: { registrationMode: 'open' } })
    expect(open.status).toBe(200)
    const body = { username: 'maxim', password: PASSWORD }
    await ask(server.url, 'POST', '/v1/auth/register', { body, headers: { 'x-forwarded-for': HOME } })
    const memoryBefore = await residentBytes()

    const statuses = new Map<number, number>()
    const began = performance.now()
    const attack = flood(async (i) => {
      const { status } = await login(i % 3 === 0 ? 'olga' : `nobody-${i % NAMES}`, 'guess', `10.0.0.${i % NETWORKS}`)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }).then(() => performance.now() - began)

    // Meanwhile one comes in from where they are known, others from elsewhere, and what is said is said.
    const waits = { known: [] as number[], elsewhere: [] as number[], said: [] as number[] }
    const timed = async <T>(kind: keyof typeof waits, work: () => Promise<T>): Promise<T> => {
      const asked = performance.now()
      const answer = await work()
      waits[kind].push(performance.now() - asked)
      return answer
    }
    for (let over = false, turn = 0; !over; turn += 1) {
      const [known, elsewhere, said] = await Promise.all([
        timed('known', () => login('maxim', PASSWORD, HOME)),
        timed('elsewhere', () => login('maxim', PASSWORD, `203.0.113.${turn % 250}`)),
        timed('said', () => room.say('is anybody there?')),
      ])
      expect([known.status, elsewhere.status, said.status]).toEqual([200, 200, 201])
      over = await Promise.race([attack.then(() => true), Bun.sleep(250).then(() => false)])
    }
    const took = await attack
    const failed = [...statuses.values()].reduce((sum, count) => sum + count, 0)
    console.log(
      `${failed} failing logins in ${(took / 1000).toFixed(1)} s: ${JSON.stringify(Object.fromEntries(statuses))}; ` +
        `logins from known places: ${told(waits.known)}; from others: ${told(waits.elsewhere)}; sends: ${told(waits.said)}`,
    )
    expect([...statuses.keys()].filter((status) => ![401, 429, 503].includes(status))).toEqual([])
    expect(statuses.get(429)).toBeGreaterThan(0)
    expect((await residentBytes()) - memoryBefore).toBeLessThan(MOST_GROWTH_BYTES)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
    await eventually(async () => (await metric(server.url, room.token, 'conntext_outbox_due')) === 0, 60_000)
    expect(await metric(server.url, room.token, 'conntext_outbox_refused')).toBe(0)

    // What is still being counted is recorded when the server ends.
    await server.kill('SIGTERM')
    await server.restart()
    const { body: again } = await login('maxim', PASSWORD, HOME)
    expect(again.accessToken).toBeString()
    const owner = await login('olga', PASSWORD, '127.0.0.1')
    const { token } = owner.status === 200 ? { token: owner.body.accessToken } : room
    const refused = (statuses.get(401) ?? 0) + (statuses.get(429) ?? 0)
    await eventually(async () => (await counted(token)) >= refused, 60_000)
    const found = await events('login.failed', token)
    expect(found.length).toBeLessThanOrEqual(MOST_RECORDED * (2 + Math.ceil(took / 60_000)))
    expect(await counted(token)).toBeLessThanOrEqual(refused + 1)
    expect(new Set(found.map(({ outcome }) => outcome))).toEqual(new Set(['failed']))
    expect(found.some(({ actor }) => actor.address === '10.0.0.3')).toBe(true)
  },
  MINUTES,
)
