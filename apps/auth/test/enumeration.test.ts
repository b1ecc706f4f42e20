import { expect, test } from 'bun:test'
import type { Problem } from '@conntext/contracts'
import { credentials } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'
import { PASSWORD, startAuth, testClock } from './stack.ts'

// Longer than any pause, and until failures are forgotten.
const FORGOTTEN_MS = 3_600_001
// On a machine that has other things to do.
const TIMING_MS = 60_000
// With the work left out where there is no account, it is four times and more.
const MOST = 1.5

type Ask = () => Promise<{ status: number }>

/**
 * How many times as much work the one is as the other: the processor time of the whole process, hashing threads
 * included, which tells what somebody outside can time, and doesn't change with what else the machine has to do. Asked
 * in turns, and compared by medians.
 */
async function ratio(samples: number, asks: [Ask, Ask], between: () => Promise<unknown>): Promise<number> {
  const spent: [number[], number[]] = [[], []]
  // The first two rounds warm everything up.
  for (let round = -2; round < samples; round++) {
    for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const before = process.cpuUsage()
      await asks[which]()
      const { user, system } = process.cpuUsage(before)
      if (round >= 0) spent[which].push(user + system)
      await between()
    }
  }
  const [a, b] = spent.map((list) => list.toSorted((x, y) => x - y)[list.length >> 1]!) as [number, number]
  return Math.max(a, b) / Math.min(a, b)
}

/** Measures again where it doesn't hold: a difference that is there stays, a collection of garbage passes. */
async function expectAlike(measure: () => Promise<number>): Promise<void> {
  let found = await measure()
  for (let again = 0; again < 2 && found > MOST; again++) found = await measure()
  expect(found).toBeLessThan(MOST)
}

test(
  'a login takes as long in a name that nobody has as with a wrong password',
  async () => {
    const clock = testClock()
    await using auth = await startAuth({ clock })
    await auth.register({ username: 'ann', email: 'ann@example.org' })
    const { user } = await auth.member('bob')
    await auth.database.auth.delete(credentials).where(eq(credentials.userId, user.id))
    const between = async () => clock.advance(FORGOTTEN_MS)
    const wrong = (login: string) => async () => {
      const answer = await auth.login(login, 'not the password')
      expect(answer.status).toBe(401)
      return answer
    }
    for (const known of ['ann', 'ann@example.org', 'bob']) {
      const unknown = known.includes('@') ? 'nobody@example.org' : 'nobody'
      await expectAlike(() => ratio(5, [wrong(known), wrong(unknown)], between))
    }
  },
  TIMING_MS,
)

test(
  'a request for a reset takes as long whether or not there is an account to reset',
  async () => {
    const clock = testClock()
    await using auth = await startAuth({ clock })
    await auth.register({ username: 'ann', email: 'ann@example.org' })
    const ask = (login: string) => async () => {
      const answer = await auth.request<Problem>('POST', '/v1/auth/password/request-reset', { body: { login } })
      expect(answer.status).toBe(202)
      return answer
    }
    // What one brings about must not be under way when the next is timed.
    const between = async () => {
      clock.advance(FORGOTTEN_MS)
      await auth.delivered()
    }
    await expectAlike(() => ratio(25, [ask('ann'), ask('nobody')], between))
    expect(auth.mails.filter(({ subject }) => subject === 'Set a new password').length).toBeGreaterThan(20)
  },
  TIMING_MS,
)

test('nothing in an answer says whether there is an account, nor that one waits', async () => {
  await using auth = await startAuth({ clock: testClock() })
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  const told = async (login: string) => {
    const answers = []
    for (let i = 0; i < 7; i++) answers.push(await auth.login(login, 'not the password'))
    return answers.map(({ status, body, headers }) => ({
      status,
      body: { ...body, requestId: '' },
      retryAfter: headers.get('retry-after'),
      names: [...headers.keys()].sort(),
    }))
  }
  const unknown = await told('nobody')
  expect(unknown.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429, 429])
  expect(await told('ann')).toEqual(unknown)
  expect(await told('ann@example.org')).toEqual(unknown)
})

test('who may not come in learns of no name and no address, however they ask', async () => {
  await using auth = await startAuth()
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  for (const mode of ['closed', 'invite'] as const) {
    auth.system.mode = mode
    const answers = await Promise.all(
      [{ username: 'ann' }, { email: 'ann@example.org' }, { email: 'free@example.org' }, {}].map((input) =>
        auth.register(input),
      ),
    )
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.code}`)).size).toBe(1)
  }
})

test('few email addresses can be tried out by registering, user names apart', async () => {
  const clock = testClock()
  await using auth = await startAuth({ clock })
  await auth.register({ username: 'ann', email: 'ann@example.org' })
  const address = '192.0.2.9'
  const probe = (email: string) => auth.register({ username: 'eve', email }, { address })
  for (let i = 0; i < 10; i++) expect((await probe('ann@example.org')).status).toBe(409)
  expect(await probe('ann@example.org')).toMatchObject({ status: 429, body: { code: 'registration.throttled' } })
  expect((await probe('free@example.org')).status).toBe(429)
  expect((await auth.register({ username: 'eve', password: PASSWORD }, { address })).status).toBe(201)
})
