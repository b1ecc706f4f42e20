import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { ailing, ask, metric, settleIn, UNLIMITED } from './asking.ts'
import { mountSmallDisk } from './small-disk.ts'

const MINUTES = 240_000
const DISK_BYTES = 800_000_000
const AT_ONCE = 20

/** A file system of its own takes somebody who may mount one. */
const disk = mountSmallDisk(DISK_BYTES)

describe.skipIf(!disk)('with the disk full', () => {
  let server: ServerProcess
  let room: Awaited<ReturnType<typeof settleIn>>

  beforeAll(async () => {
    server = await startServerProcess(UNLIMITED, disk!.path)
    room = await settleIn(server.url)
  }, MINUTES)

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]()
    disk?.[Symbol.dispose]()
  }, MINUTES)

  const sayTogether = (text: string) => Promise.all(Array.from({ length: AT_ONCE }, () => room.say(text)))

  test(
    'what is kept can be read, what cannot be kept is refused in time, and with room again all goes on by itself',
    async () => {
      const { acknowledged, history, health, token } = room
      await sayTogether('before')
      disk!.fill()
      // More at once, and more often, than there are connections: each refusal must give its own back.
      const refused = await eventually(async () => {
        const answers = await sayTogether('x'.repeat(1_900))
        return answers.every(({ status }) => status === 503) ? answers[0] : undefined
      }, 60_000)
      let refusals = 0
      await eventually(async () => {
        // An engine that tidies up meanwhile makes room for a few.
        disk!.fill()
        for (const { status } of await sayTogether('x'.repeat(1_900))) {
          expect([201, 503]).toContain(status)
          if (status === 503) refusals += 1
        }
        return refusals >= 3 * AT_ONCE
      }, 60_000)
      expect(refused.body).toMatchObject({ code: 'dependency.away' })
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
      expect([...(await history()).keys()].sort()).toEqual(acknowledged.map(({ id }) => id).sort())

      const found = await eventually(async () => {
        const ill = ailing(await health())
        return ill['system: disk'] && ill
      }, 30_000)
      expect(found['messaging: postgres']).toMatchObject({
        state: 'degraded',
        since: expect.any(String),
        detail: expect.stringContaining('full'),
        remedy: expect.stringContaining('room'),
      })
      expect(found['system: disk']).toMatchObject({ state: 'degraded', remedy: expect.stringContaining('room') })
      expect(found['messaging: object store']).toMatchObject({ state: 'down', remedy: expect.any(String) })
      const upload = await fetch(`${server.url}/v1/uploads?filename=a.txt`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
        body: 'the bytes of a file',
      })
      expect(upload.status).toBeGreaterThanOrEqual(500)
      await eventually(
        async () => (await metric(server.url, token, 'conntext_database_failures_total', 'class="53"')) > 0,
      )

      disk!.clear()
      await eventually(async () => (await room.say('with room again')).status === 201, 60_000)
      const after = await sayTogether('and once more')
      expect(new Set(after.map(({ status }) => status))).toEqual(new Set([201]))
      expect(await history()).toEqual(new Map(acknowledged.map(({ id, nonce }) => [id, nonce])))
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
      // Events about what was done before and after reach the trail.
      const made = await ask<{ id: string }>(server.url, 'POST', '/v1/roles', {
        token,
        body: { name: 'Afterwards', permissions: [] },
      })
      expect(made.status).toBe(201)
      await eventually(async () => {
        const { body } = await ask<{ items?: { target: { id: string } }[] }>(
          server.url,
          'GET',
          '/v1/audit/events?action=role.created',
          { token },
        )
        return body.items?.some(({ target }) => target.id === made.body.id)
      }, 60_000)
      expect(await metric(server.url, token, 'conntext_outbox_refused')).toBe(0)
    },
    MINUTES,
  )
})
