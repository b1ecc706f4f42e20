import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createRedisBus } from '@conntext/bus'
import { closeCodes } from '@conntext/contracts'
import { silentLogger as log } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { hasRedis, type RedisServer, startRedis } from '@conntext/testing/redis'
import { type Client, type Conversing, type Member, startConversing } from './support/conversing.ts'

// Two instances of messaging and two gateways, each with connections to Redis of its own. Nothing is compared with its
// owner by the clock here: what is repaired is repaired because the bus says that it was interrupted.
const NEVER_MS = 3_600_000
/** No answer waits for Redis for longer; twice that, for a slow machine. */
const PROMPT_MS = process.env.CI ? 8_000 : 2_500

describe.skipIf(!hasRedis())('over a Redis that', () => {
  let redis: RedisServer
  let stack: Conversing
  beforeAll(async () => {
    redis = await startRedis()
    stack = await startConversing({
      newBus: () => createRedisBus({ urls: [redis.url], log }),
      streams: { reconcileMs: NEVER_MS },
    })
  }, 60_000)
  afterAll(async () => {
    await stack?.[Symbol.asyncDispose]()
    await redis?.[Symbol.asyncDispose]()
  })

  const participant = (id: string, userId: string) => `/v1/dms/${id}/participants/${userId}`
  const range = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

  /** Says something all the time, at both instances and both gateways, until it is stopped. Answers what was taken. */
  function keepTalking(channelId: string, people: { member: Member; client: Client }[]) {
    let stopped = false
    let longestMs = 0
    const taken: string[] = []
    const talking = people.map(async ({ member, client }, index) => {
      for (let turn = 0; !stopped; turn += 1) {
        const content = `${index} ${turn}`
        const since = performance.now()
        if (turn % 2 === 0) await stack.say(channelId, member, content, index % 2)
        else expect(await client.ask({ op: 'message.send', channelId, content })).toMatchObject({ ok: true })
        longestMs = Math.max(longestMs, performance.now() - since)
        taken.push(content)
        await Bun.sleep(10)
      }
    })
    return async () => {
      stopped = true
      await Promise.all(talking)
      return { taken, longestMs }
    }
  }

  async function group(count: number) {
    await eventually(() =>
      stack.bus.check().then(
        () => true,
        () => false,
      ),
    )
    const members = await stack.members(count)
    const others = members.slice(1).map(({ userId }) => userId)
    const { id } = await stack.open(members[0]!, others, 'a group')
    const people = await Promise.all(
      members.map(async (member, index) => ({ member, ...(await stack.enter(member, index % 2)) })),
    )
    return { id, people }
  }

  const outages: [string, () => Promise<void>, () => Promise<void>][] = [
    ['is killed and started again', () => redis.kill(), () => redis.restart()],
    ['stands still for a while', async () => redis.freeze(), async () => redis.thaw()],
  ]
  test.each(outages)(
    '%s: all goes on meanwhile, and in the end everybody has everything once',
    async (_, go, back) => {
      const { id, people } = await group(4)
      const channel = await stack.authority.channel()
      const [leaver, guest, early] = await stack.members(3)
      const leaving = await stack.enter(leaver!, 0)
      const onlooker = await stack.enter(early!, 1)
      for (const guard of stack.instances.flatMap(({ guards }) => guards)) {
        expect(await guard.identify(leaver!.token)).toBeDefined()
      }
      const stop = keepTalking(id, people)
      const stopInChannel = keepTalking(channel.id, people.slice(0, 2))
      await eventually(() => people.every(({ client }) => client.words(id).length > 5))

      await go()
      // As auth does it: what can't be told is in the database.
      await stack.authority.revoke(leaver!.sessionId, leaver!.userId).catch(() => {})
      const made = await stack.open(people[0]!.member, [early!.userId])
      await stack.say(made.id, people[0]!.member, 'while it was away', 1)
      const added = await stack.call('PUT', participant(id, guest!.userId), people[0]!.member, undefined, 1)
      expect(added.status).toBe(200)
      const entered = performance.now()
      const late = await stack.enter(guest!, 0)
      expect(performance.now() - entered).toBeLessThan(2 * PROMPT_MS)
      await Bun.sleep(500)
      await back()

      await leaving.client.closed(closeCodes.sessionRevoked)
      for (const guard of stack.instances.flatMap(({ guards }) => guards)) {
        await eventually(async () => (await guard.identify(leaver!.token)) === undefined)
      }
      const { longestMs, taken } = await stop()
      expect(longestMs).toBeLessThan(PROMPT_MS)
      const inChannel = await stopInChannel()
      for (const [channelId, said] of [
        [id, taken],
        [channel.id, inChannel.taken],
      ] as const) {
        for (const { client } of people) {
          await eventually(() => client.words(channelId).length === said.length, 20_000)
          expect(client.words(channelId).sort()).toEqual([...said].sort())
          const seqs = client.seqs(channelId)
          expect(seqs).toEqual(range(seqs.length).map((n) => n + seqs[0]! - 1))
        }
      }
      await eventually(() => late.client.words(channel.id).length > 0)
      const begun = late.client.seqs(channel.id)
      expect(begun).toEqual(range(begun.length).map((n) => n + begun[0]! - 1))
      await onlooker.client.event('conversation.created', (d) => d.id === made.id)
      await stack.say(made.id, early!, 'seen', 0)
      await eventually(() => onlooker.client.words(made.id).includes('seen'))
    },
    60_000,
  )

  test('is there: what was changed at one instance holds at the other when the answer is there', async () => {
    const { id, people } = await group(3)
    const [owner, other] = people.map(({ member }) => member)
    const say = (member: Member, instance: number) =>
      stack.call('POST', `/v1/channels/${id}/messages`, member, { content: 'here?' }, instance)
    for (let round = 0; round < 20; round += 1) {
      const instance = round % 2
      expect((await say(other!, 1 - instance)).status).toBe(201)
      expect((await stack.call('DELETE', participant(id, other!.userId), owner!, undefined, instance)).status).toBe(204)
      expect((await say(other!, 1 - instance)).status).toBe(404)
      expect((await stack.call('PUT', participant(id, other!.userId), owner!, undefined, instance)).status).toBe(200)
    }
    expect((await say(other!, 0)).status).toBe(201)
    await stack.authority.setGrant(other!.userId, { standing: 'banned' })
    for (const { guards } of stack.instances) {
      for (const guard of guards) expect(await guard.identify(other!.token)).toBeUndefined()
    }
    await stack.authority.revoke(owner!.sessionId, owner!.userId)
    for (const { guards } of stack.instances) {
      for (const guard of guards) expect(await guard.identify(owner!.token)).toBeUndefined()
    }
  })
})
