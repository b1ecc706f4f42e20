import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import {
  createChannel,
  createInvite,
  GatewayClient,
  getServer,
  listMessages,
  type Message,
  type StreamEvent,
  sendMessage,
  unwrap,
  updateChannel,
} from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import {
  type Balancer,
  canSplit,
  type Split,
  type SplitProcess,
  startBalancer,
  startSplit,
} from '@conntext/testing/split'
import { pseudoRandomFile, sha256 } from './conversation/corpus.ts'
import { gather, join, type Person } from './conversation/people.ts'
import { checkReceived, upload } from './conversation/scenario.ts'
import { enter } from './websocket/client.ts'

// The five services as processes of their own, two gateways and two of messaging, over real engines.
const possible = await canSplit()

const OLD = 'the-credential-until-now'
const NEXT = 'the-credential-that-follows'

describe.skipIf(!possible)('the split deployment', () => {
  let split: Split
  let balancer: Balancer
  let owner: Person
  let member: Person

  beforeAll(async () => {
    // All take both of them already, and show the old one.
    split = await startSplit({ env: { CONNTEXT_SERVICE_CREDENTIAL: `${OLD},${NEXT}` } })
    balancer = await startBalancer(split.urls)
    ;({ owner, member } = await gather(balancer.url, split.setupCode))
  }, 180_000)

  afterAll(async () => {
    for (const person of [owner, member]) person?.gateway.close()
    await balancer?.[Symbol.asyncDispose]()
    await split?.[Symbol.asyncDispose]()
  }, 60_000)

  const headersOf = async ({ api }: Person) => ({
    authorization: `Bearer ${await api.accessToken()}`,
    'content-type': 'application/json',
  })

  test('what was made through one gateway is there at once through the other, and both tell of it', async () => {
    const [a, b] = split.urls as [string, string]
    const headers = await headersOf(owner)
    const sockets = await Promise.all([a, b].map(async (url) => enter(url, await owner.api.accessToken())))
    for (let i = 0; i < 10; i += 1) {
      const made = await fetch(`${a}/v1/channels`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ name: `made-${i}`, type: 'text' }),
      })
      const { id } = (await made.json()) as { id: string }
      const sent = await fetch(`${b}/v1/channels/${id}/messages`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ content: 'at once' }),
      })
      expect([made.status, sent.status]).toEqual([201, 201])
      for (const socket of sockets) {
        await socket.seen(({ t, stream }) => t === 'message.created' && stream === `channel:${id}`)
        expect(socket.events('message.created', `channel:${id}`)).toHaveLength(1)
        expect(socket.events('channel.created').filter(({ d }) => (d as { id: string }).id === id)).toHaveLength(1)
      }
    }
    for (const socket of sockets) socket.close()
  }, 60_000)

  test('a session that was ended through one gateway is refused by the other when the answer is there', async () => {
    const [a, b] = split.urls as [string, string]
    for (let i = 0; i < 5; i += 1) {
      const { api, gateway } = await join(a, `gone-${i}`, { inviteCode: await inviteOf(owner) })
      gateway.close()
      const headers = { authorization: `Bearer ${await api.accessToken()}` }
      expect((await fetch(`${b}/v1/users/@me`, { headers })).status).toBe(200)
      const ended = await fetch(`${a}/v1/auth/logout`, { method: 'POST', headers })
      expect(ended.status).toBe(204)
      expect((await fetch(`${b}/v1/users/@me`, { headers })).status).toBe(401)
    }
  }, 60_000)

  test('files pass through whole, in both directions', async () => {
    const file = pseudoRandomFile(20_000_000)
    const media = await upload(owner, file, 'film.bin')
    const content = (range?: string, method = 'GET') =>
      owner.api.accessToken().then((token) =>
        fetch(`${split.urls[1]}/v1/media/${media.id}/content`, {
          method,
          headers: { authorization: `Bearer ${token}`, ...(range && { range }) },
        }),
      )
    expect((await content(undefined, 'HEAD')).headers.get('content-length')).toBe('20000000')
    expect(sha256(await (await content()).bytes())).toBe(sha256(file))
    const part = await content('bytes=1000-1999')
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 1000-1999/20000000'])
    expect(sha256(await part.bytes())).toBe(sha256(file.slice(1000, 2000)))
  }, 60_000)

  test('a file of which the rest is lost is not taken for whole', async () => {
    const { id } = await upload(owner, pseudoRandomFile(40_000_000), 'film.bin')
    const { authorization } = await headersOf(owner)
    const download = await fetch(`${split.urls[0]}/v1/media/${id}/content`, { headers: { authorization } })
    const reader = download.body!.getReader()
    expect((await reader.read()).done).toBe(false)
    await Promise.all(split.messaging.map((one) => one.kill('SIGKILL')))
    const rest = async () => {
      while (!(await reader.read()).done);
    }
    const outcome = await rest().then(
      () => 'whole',
      () => 'broken off',
    )
    await Promise.all(split.messaging.map((one) => one.start()))
    expect(outcome).toBe('broken off')
  }, 60_000)

  test('nobody outside reaches what is between the services', async () => {
    const headers = { 'x-conntext-service': split.gateways[0]!.name, 'content-type': 'application/json' }
    for (const url of split.urls) {
      const answer = await fetch(`${url}/internal/auth/authority`, { method: 'POST', headers, body: '{}' })
      expect(answer.status).toBe(404)
      // Without a usable Host a path reaches the gateway as it was written.
      for (const path of ['/v1/auth/../../internal/auth/authority', '/v1/auth/..\\..\\internal/auth/authority']) {
        const line = `POST ${path} HTTP/1.1\r\nHost: \r\nConnection: close\r\n`
        const text = await exchange(url, `${line}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`)
        expect(text).toStartWith('HTTP/1.1 400')
      }
    }
    for (const { url } of [split.auth, split.system, split.realtime, ...split.messaging]) {
      expect((await fetch(`${url}/v1/users/@me`, { headers })).status).toBe(401)
      expect((await fetch(`${url}/internal/auth/authority`, { method: 'POST', headers, body: '{}' })).status).toBe(401)
    }
  })

  test('each process is restarted, with a new credential, while everything is in use: no request fails and no event is lost', async () => {
    await using load = await startLoad(owner, member, split.urls)
    for (const one of split.processes) {
      expect(await one.kill('SIGTERM')).toBe(0)
      await one.start({ CONNTEXT_SERVICE_CREDENTIAL: `${NEXT}\n${OLD}` })
    }
    await load.settle()
    expect(load.failures).toEqual([])
    expect(load.requests).toBeGreaterThan(100)
    expect(load.acknowledged.length).toBeGreaterThan(50)
    for (const person of load.listeners) checkReceived(person, load.channelId, load.acknowledged)
    await load.checkHistory()
  }, 300_000)

  test('an instance of messaging that is killed takes nothing with it: the other goes on', async () => {
    await using load = await startLoad(owner, member, split.urls)
    const [first, second] = split.messaging as [SplitProcess, SplitProcess]
    for (const one of [first, second]) {
      await Bun.sleep(500)
      await one.kill('SIGKILL')
      const before = load.acknowledged.length
      await eventually(() => load.acknowledged.length > before + 20, 20_000)
      await one.start()
    }
    await load.settle()
    // What had been sent to it and not been answered is for the client to send again; nothing else fails.
    expect(load.failures.filter((failure) => !/^POST .*503$/.test(failure))).toEqual([])
    expect(load.failures.length).toBeLessThan(10)
    for (const person of load.listeners) checkReceived(person, load.channelId, load.acknowledged)
    await load.checkHistory()
  }, 120_000)
})

async function inviteOf({ api: { client } }: Person): Promise<string> {
  const body = { maxUses: 1, expiresInSeconds: 3_600 }
  return (await unwrap(createInvite({ client, body }))).code
}

/** People who write, read, look and change things all the time, and who hear of it through both gateways. */
async function startLoad(owner: Person, member: Person, urls: string[]) {
  const { client } = owner.api
  const name = `load-${crypto.randomUUID().slice(0, 8)}`
  const channel = await unwrap(createChannel({ client, body: { name, type: 'text' } }))
  const channelId = channel.id
  const listeners = await Promise.all(
    [owner, member].map(async (person, index): Promise<Person> => {
      const events: StreamEvent[] = []
      const gateway = new GatewayClient({
        // Each begins at another one.
        baseUrl: index === 0 ? urls : [...urls].reverse(),
        token: () => person.api.accessToken(),
        reconnect: { firstMs: 50, longestMs: 1_000 },
      })
      gateway.on('event', (event) => void events.push(event))
      await gateway.connect()
      return { ...person, gateway, events }
    }),
  )
  const acknowledged: Message[] = []
  const failures: string[] = []
  let requests = 0
  let running = true
  const again = async (what: string, pauseMs: number, work: (count: number) => Promise<unknown>) => {
    for (let count = 0; running; count += 1) {
      try {
        await work(count)
        requests += 1
      } catch (error) {
        const { status = error } = error as { status?: number }
        failures.push(`${what}: ${status}`)
      }
      await Bun.sleep(pauseMs)
    }
  }
  const keep = async (sending: Promise<Message>) => void acknowledged.push(await sending)
  const body = (count: number) => ({ content: `message ${count}`, nonce: crypto.randomUUID() })
  const path = { channelId }
  const workers = Promise.all([
    ...listeners.map(({ gateway }) => again('SEND', 20, (count) => keep(gateway.send({ channelId, ...body(count) })))),
    ...[owner, member].map(({ api }) =>
      again('POST messages', 20, (count) => keep(unwrap(sendMessage({ client: api.client, path, body: body(count) })))),
    ),
    again('GET messages', 30, () => unwrap(listMessages({ client: member.api.client, path, query: { limit: '10' } }))),
    again('GET server', 30, () => unwrap(getServer({ client: member.api.client }))),
    again('PATCH channel', 300, (count) => unwrap(updateChannel({ client, path, body: { topic: `topic ${count}` } }))),
  ])
  const stop = async () => {
    running = false
    await workers
  }
  const load = {
    channelId,
    listeners,
    acknowledged,
    failures,
    get requests() {
      return requests
    },
    /** Ends it, and waits until everybody has heard everything. */
    async settle() {
      await stop()
      for (const { events } of listeners) {
        const came = () =>
          events.filter(({ t, stream }) => t === 'message.created' && stream === `channel:${channelId}`)
        await eventually(() => came().length >= acknowledged.length, 20_000)
      }
    },
    /** All that was acknowledged is there. */
    async checkHistory() {
      const ids = new Set<string>()
      for (let before: string | undefined; ; ) {
        const page = await unwrap(listMessages({ client, path, query: { limit: '100', ...(before && { before }) } }))
        for (const { id } of page.items) ids.add(id)
        if (!page.hasMoreBefore) break
        before = page.items.at(-1)!.id
      }
      expect(acknowledged.filter(({ id }) => !ids.has(id))).toEqual([])
    },
    async [Symbol.asyncDispose]() {
      await stop()
      for (const { gateway } of listeners) gateway.close()
    },
  }
  return load
}

/** What is answered to these bytes, until the connection is closed. */
async function exchange(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(text))
  let answer = ''
  for await (const data of socket) answer += data
  return answer
}
