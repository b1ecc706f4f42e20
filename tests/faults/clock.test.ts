import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { eventually, type ServerProcess, startServerProcess } from '@conntext/testing'
import { locateFaketime, shiftableClock } from '@conntext/testing/faketime'
import { ailing, ask, metric, PASSWORD, settleIn, UNLIMITED } from './asking.ts'

const MINUTES = 240_000
const DAY_S = 86_400
const RETENTION_DAYS = 30

type Tokens = { accessToken: string; refreshToken: string }

/** Without the library no clock but the machine's own could be set. */
const library = locateFaketime()

describe.skipIf(!library)('a clock that is set', () => {
  let clock: Awaited<ReturnType<typeof shiftableClock>>
  let server: ServerProcess
  let room: Awaited<ReturnType<typeof settleIn>>
  let before: Tokens

  beforeAll(async () => {
    clock = await shiftableClock(library!)
    server = await startServerProcess({ ...UNLIMITED, ...clock.env })
    room = await settleIn(server.url)
    before = await login()
  }, MINUTES)

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]()
    await clock?.[Symbol.asyncDispose]()
  }, MINUTES)

  /** After a jump keys are looked for anew first: whoever needs one meanwhile is told to come back in a second. */
  const login = () =>
    eventually(async () => {
      const answer = await ask<Tokens>(server.url, 'POST', '/v1/auth/login', {
        body: { login: 'olga', password: PASSWORD },
      })
      if (answer.status === 503) return undefined
      expect(answer).toMatchObject({ status: 200 })
      return answer.body
    }, 30_000)
  const say = async (content: string, token: string) => {
    const body = { content, nonce: crypto.randomUUID() }
    const answer = await ask<{ id: string }>(server.url, 'POST', room.messages, { token, body })
    expect(answer.status).toBe(201)
    room.acknowledged.push({ id: answer.body.id, nonce: body.nonce })
  }
  const history = async (token: string) => {
    const path = `${room.messages}?limit=100`
    const { body } = await ask<{ items: { id: string }[] }>(server.url, 'GET', path, { token })
    return body.items.map(({ id }) => id).sort()
  }
  const ill = async (token: string) =>
    ailing((await ask<Parameters<typeof ailing>[0]>(server.url, 'GET', '/v1/system/health', { token })).body)
  const ran = (job: string, token: string) =>
    eventually(
      async () => (await metric(server.url, token, 'conntext_job_runs_total', `job="${job}",outcome="done"`)) > 0,
      60_000,
    )

  test(
    'a year ahead has nothing deleted and nobody’s session ended for good; set right again, all is as before',
    async () => {
      const channel = room.messages.replace('/messages', '')
      const keep = { messageRetentionDays: RETENTION_DAYS }
      expect((await ask(server.url, 'PATCH', channel, { token: room.token, body: keep })).status).toBe(200)
      for (let i = 0; i < 10; i += 1) await say(`before ${i}`, before.accessToken)
      const expected = () => room.acknowledged.map(({ id }) => id).sort()

      await clock.set(400 * DAY_S)
      // What expired by that clock is refused; who logs in anew goes on.
      const refused = await ask(server.url, 'GET', '/v1/users/@me', { token: before.accessToken })
      expect(refused.status).toBe(401)
      let ahead = await login()
      await say('a year ahead', ahead.accessToken)
      expect(Object.keys(await ill(ahead.accessToken))).toEqual(
        expect.arrayContaining(['auth: clock', 'system: clock', 'messaging: clock']),
      )

      // Everything that expires is looked for at a start.
      await server.kill('SIGTERM')
      await server.restart()
      ahead = await login()
      for (const job of ['retention', 'pruning', 'audit retention', 'clock']) await ran(job, ahead.accessToken)
      expect(await history(ahead.accessToken)).toEqual(expected())
      await say('still a year ahead', ahead.accessToken)
      expect((await ill(ahead.accessToken))['messaging: clock']).toMatchObject({
        state: 'degraded',
        detail: expect.stringContaining('kept'),
        remedy: expect.stringContaining('conntext clock confirm'),
      })

      await clock.set(0)
      const again = await ask<Tokens>(server.url, 'POST', '/v1/auth/refresh', {
        body: { refreshToken: before.refreshToken },
      })
      expect(again.status).toBe(200)
      const { accessToken: token } = again.body
      await say('in the present', token)
      expect(await history(token)).toEqual(expected())
      await eventually(async () => !Object.keys(await ill(token)).some((name) => name.endsWith(': clock')), 30_000)
      // Nobody is kept out by what was noted of then.
      await login()
    },
    MINUTES,
  )

  test(
    'a day back is told of by health, and chat goes on',
    async () => {
      await clock.set(-DAY_S)
      const { accessToken } = await login()
      await say('yesterday', accessToken)
      expect((await ill(accessToken))['messaging: clock']).toMatchObject({ state: 'degraded' })
      expect(await history(accessToken)).toEqual(room.acknowledged.map(({ id }) => id).sort())
      await clock.set(0)
      const { accessToken: token } = await login()
      await say('today', token)
      await eventually(async () => !Object.keys(await ill(token)).some((name) => name.endsWith(': clock')), 30_000)
      expect(await history(token)).toEqual(room.acknowledged.map(({ id }) => id).sort())
    },
    MINUTES,
  )
})
