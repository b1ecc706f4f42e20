import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { GatewayClient, listMessages, type Message, unwrap } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import { type Balancer, canSplit, type Split, startBalancer, startSplit } from '@conntext/testing/split'
import { type Community, type Device, settle } from './chaos/community.ts'
import { faultsOf } from './chaos/faults.ts'
import { startSending } from './chaos/sending.ts'

const SIZE = { people: 40, devicesEach: 5, channels: 50 }
const SENDERS = 20
const QUIET_MS = 1_500
const WITHIN_MS = 60_000

const UNLIMITED = Object.fromEntries(
  ['ACCOUNT', 'ADDRESS', 'CREDENTIALS', 'MESSAGES', 'FRAMES'].map((what) => [`CONNTEXT_RATE_${what}`, '0']),
)

const possible = await canSplit()

describe.skipIf(!possible)('whatever dies meanwhile', () => {
  let split: Split
  let balancer: Balancer
  let community: Community

  beforeAll(async () => {
    split = await startSplit({ env: UNLIMITED })
    balancer = await startBalancer(split.urls)
    community = await settle(balancer.url, split.setupCode, SIZE)
  }, 300_000)

  afterAll(async () => {
    for (const { gateway } of community?.devices ?? []) gateway.close()
    await balancer?.[Symbol.asyncDispose]()
    await split?.[Symbol.asyncDispose]()
  }, 60_000)

  test('200 clients have every event that they may see exactly once, in order, and no acknowledged message is lost', async () => {
    const { devices, square } = community
    const sending = startSending(community, SENDERS)
    const everybodyHas = (seq: number) => devices.every(({ recorder }) => recorder.head(`channel:${square}`) >= seq)

    for (const { name, strike } of faultsOf(split, balancer.cut)) {
      await Bun.sleep(QUIET_MS)
      const struck = performance.now()
      await strike()
      const over = performance.now()
      const { seq } = await sending.mark()
      await eventually(() => everybodyHas(seq), WITHIN_MS)
      const seconds = (from: number) => ((performance.now() - from) / 1000).toFixed(1)
      console.log(
        `${name}: everybody is up to date ${seconds(struck)} s after it began, ${seconds(over)} s after its end`,
      )
    }
    await sending.stop()

    const heads = await headsOf(devices)
    await eventually(() => behind(devices, heads).length === 0, WITHIN_MS)
    const log = checkOrder(devices)
    await checkMessages(community, log, sending.acknowledged)
    expect(sending.acknowledged.length).toBeGreaterThan(SENDERS * 10)
    expect(devices.every(({ recorder }) => recorder.connections > 1 && recorder.resets === 0)).toBe(true)
  }, 300_000)
})

/** Where each stream that a device follows stands, as a client hears that has never been there. */
async function headsOf(devices: Device[]): Promise<Map<Device, Record<string, number>>> {
  const heads = new Map<Device, Record<string, number>>()
  const byPerson = Map.groupBy(devices, ({ api }) => api)
  for (const [api, own] of byPerson) {
    const fresh = new GatewayClient({ baseUrl: api.baseUrl, token: () => api.accessToken() })
    const { streams } = await fresh.connect()
    fresh.close()
    for (const device of own) heads.set(device, streams)
  }
  return heads
}

/** What has not come yet. */
const behind = (devices: Device[], heads: Map<Device, Record<string, number>>): string[] =>
  devices.flatMap((device) =>
    Object.entries(heads.get(device)!)
      .filter(([stream, head]) => device.recorder.head(stream) < head)
      .map(([stream]) => `${device.name} ${stream}`),
  )

/** Every number once, in order, from where the client began; and the same event under it for everybody. Answers them all. */
function checkOrder(devices: Device[]): Map<string, string> {
  const log = new Map<string, string>()
  const faults: string[] = []
  for (const { name, recorder, api } of devices) {
    for (const [stream, began] of recorder.began) {
      // Everybody has a stream of that name.
      const shared = stream === 'user' ? `user of ${accountOf(api)}` : stream
      recorder.of(stream).forEach(({ seq, what }, index) => {
        if (seq !== began + index + 1) faults.push(`${name} ${stream}: ${seq} instead of ${began + index + 1}`)
        const key = `${shared} ${seq}`
        const known = log.get(key)
        if (known === undefined) log.set(key, what)
        else if (known !== what) faults.push(`${name} ${key}: ${what} instead of ${known}`)
      })
    }
  }
  expect(faults).toEqual([])
  return log
}

const accounts = new Map<unknown, number>()
const accountOf = (api: unknown): number => {
  if (!accounts.has(api)) accounts.set(api, accounts.size)
  return accounts.get(api)!
}

/** What was acknowledged is in the channel's history and in its stream, under the number that was told, once. */
async function checkMessages(
  { owner, channels }: Community,
  log: Map<string, string>,
  acknowledged: Pick<Message, 'id' | 'channelId' | 'seq' | 'nonce'>[],
): Promise<void> {
  const stored = (await Promise.all(channels.map((channelId) => historyOf(owner, channelId)))).flat()
  const byNonce = new Map(stored.map((message) => [message.nonce, message]))
  expect(byNonce.size).toBe(stored.length)
  const told = ({ id, seq, channelId }: { id: string; seq: number; channelId: string }) => `${channelId} ${seq} ${id}`
  const lost = acknowledged.filter((message) => {
    const found = byNonce.get(message.nonce)
    return !found || told(found) !== told(message)
  })
  expect(lost).toEqual([])
  const unheard = stored.filter(
    ({ id, nonce, seq, channelId }) => log.get(`channel:${channelId} ${seq}`) !== `message.created ${id} ${nonce}`,
  )
  expect(unheard).toEqual([])
}

async function historyOf({ client }: Device['api'], channelId: string): Promise<Message[]> {
  const messages: Message[] = []
  for (let after: string | undefined; ; ) {
    const query = { limit: '100', ...(after ? { after } : {}) }
    const page = await unwrap(listMessages({ client, path: { channelId }, query }))
    messages.push(...page.items)
    if (page.items.length < 100) return messages
    after = page.items.at(-1)!.id
  }
}
