import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditEvent } from '@conntext/sdk'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { ailing, ask, listAll, metric, settleIn, UNLIMITED } from './asking.ts'

const MINUTES = 240_000
const AT_ONCE = 4
const KILLS = 2
/** Of each kind, before a kill and after the last. */
const ACKNOWLEDGED = 20

/** The embedded Postgres is killed, as the kernel would for want of memory, while everybody does what is recorded. */
let server: ServerProcess
let room: Awaited<ReturnType<typeof settleIn>>

beforeAll(async () => {
  server = await startServerProcess(UNLIMITED)
  room = await settleIn(server.url)
}, MINUTES)
afterAll(() => server?.[Symbol.asyncDispose](), MINUTES)

const postmaster = async () =>
  Number((await readFile(join(server.data, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])

/** Makes roles and says things until it is told to stop; what was not acknowledged may have happened or not. */
function load() {
  const roles: string[] = []
  let stopped = false
  const work = async () => {
    while (!stopped) {
      const body = { name: `Role ${crypto.randomUUID()}`.slice(0, 30), permissions: [] }
      const made = await ask<{ id: string }>(server.url, 'POST', '/v1/roles', { token: room.token, body }).catch(
        () => null,
      )
      if (made?.status === 201) roles.push(made.body.id)
      const said = await room.say('as long as it goes').catch(() => null)
      // A refusal says that it is one, and when to come back.
      for (const answer of [made, said]) if (answer) expect([201, 503]).toContain(answer.status)
      if (made?.status !== 201) await Bun.sleep(50)
    }
  }
  const workers = Array.from({ length: AT_ONCE }, work)
  return {
    roles,
    async stop(): Promise<void> {
      stopped = true
      await Promise.all(workers)
    },
  }
}

const created = () => listAll<AuditEvent>(server.url, room.token, '/v1/audit/events?action=role.created&limit=100')

test(
  'Postgres killed -9 under load: nothing acknowledged is lost, each event is there once, and the trail is intact',
  async () => {
    const { roles, stop } = load()
    for (let kill = 0; kill < KILLS; kill += 1) {
      const [rolesBefore, saidBefore] = [roles.length, room.acknowledged.length]
      await eventually(
        () => roles.length >= rolesBefore + ACKNOWLEDGED && room.acknowledged.length >= saidBefore + ACKNOWLEDGED,
        60_000,
      )
      const pid = await postmaster()
      process.kill(pid, 'SIGKILL')
      await eventually(async () => {
        const now = await postmaster()
        return now > 0 && now !== pid
      }, 60_000)
    }
    const rolesBefore = roles.length
    await eventually(() => roles.length >= rolesBefore + ACKNOWLEDGED, 60_000)
    await stop()

    const there = await listAll<{ id: string }>(server.url, room.token, '/v1/roles?limit=100')
    const known = new Set(there.map(({ id }) => id))
    expect(roles.filter((id) => !known.has(id))).toEqual([])
    const history = await room.history()
    expect(room.acknowledged.filter(({ id, nonce }) => history.get(id) !== nonce)).toEqual([])

    // What is there is recorded, and recorded once, whether or not it could be acknowledged.
    const events = await eventually(async () => {
      const found = await created()
      const targets = new Set(found.map(({ target }) => target.id))
      return roles.every((id) => targets.has(id)) ? found : undefined
    }, 60_000)
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
    expect(new Set(events.map(({ target }) => target.id)).size).toBe(events.length)
    expect(events.filter(({ target }) => !known.has(target.id ?? ''))).toEqual([])

    const asked = await ask<{ id: string }>(server.url, 'POST', '/v1/audit/verify', { token: room.token, body: {} })
    expect(asked.status).toBe(202)
    const verified = await eventually(async () => {
      const path = `/v1/audit/verifications/${asked.body.id}`
      const { body } = await ask<{ state: string; intact: boolean; findings: unknown[] }>(server.url, 'GET', path, {
        token: room.token,
      })
      return body.state === 'done' || body.state === 'failed' ? body : undefined
    }, 60_000)
    expect(verified).toMatchObject({ state: 'done', findings: [] })
    expect(await metric(server.url, room.token, 'conntext_outbox_refused')).toBe(0)
    await eventually(
      async () => !Object.keys(ailing(await room.health())).some((name) => name.endsWith(': postgres')),
      60_000,
    )
  },
  MINUTES,
)
