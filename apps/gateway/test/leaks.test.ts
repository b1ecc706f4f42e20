import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually, grownBy, living } from '@conntext/testing'
import { Client } from './support/client.ts'
import { startStack } from './support/stack.ts'
import { type Logs, testLogs } from './support/streams.ts'

const ROUNDS = 1_000
const WARM = 300
const AT_ONCE = 10

let logs: Logs
beforeAll(async () => {
  logs = await testLogs()
})
afterAll(async () => {
  await logs[Symbol.asyncDispose]()
})

/** What there is more of after `ROUNDS`, at least one for each second of them. */
async function keptOf(round: (number: number) => Promise<void>) {
  const rounds = async (count: number) => {
    for (let done = 0; done < count; done += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => round(done + index)))
    }
  }
  await rounds(WARM)
  const before = await living()
  await rounds(ROUNDS)
  const kept = async () => grownBy(ROUNDS / 2, before, await living())
  // Of the last ones something may still be on its way.
  await eventually(async () => Object.keys(await kept()).length === 0).catch(() => {})
  return kept()
}

test(`nothing is left of ${ROUNDS} connections, in whatever way they end`, async () => {
  await using stack = await startStack({ logs })
  const { token } = await stack.authority.member()
  const kept = await keptOf(async (number) => {
    // The stack remembers those that it connects.
    const client = new Client(`${stack.url.replace('http', 'ws')}/v1/gateway`)
    // Some go before they have said who they are, some before they are answered.
    await client.op('hello')
    if (number % 5 !== 0) client.send({ op: 'identify', token })
    if (number % 5 > 1) await client.op('ready')
    client.close()
    await client.code()
  })
  expect(kept).toEqual({})
}, 60_000)

test(`nothing is left of ${ROUNDS} requests, answered or refused`, async () => {
  await using stack = await startStack({ logs })
  const { token } = await stack.authority.member()
  const kept = await keptOf(async (number) => {
    const headers: Record<string, string> = number % 3 === 0 ? {} : { authorization: `Bearer ${token}` }
    // Each path is another one: none is to be remembered.
    const place = number % 2 === 0 ? 'users' : 'nowhere'
    const answer = await fetch(`${stack.url}/v1/${place}/${crypto.randomUUID()}`, { headers })
    await answer.text()
  })
  expect(kept).toEqual({})
}, 60_000)
