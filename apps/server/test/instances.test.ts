import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test'
import { createAuthService } from '@conntext/auth'
import { createMemoryBus } from '@conntext/bus'
import { type Authenticated, authPort, type CreatedApiToken, closeCodes, type Role } from '@conntext/contracts'
import { channelOverrides, channels } from '@conntext/db-server-details'
import { createGateway, type GatewayDeps, gatewayConfig } from '@conntext/gateway'
import { callPort, Guard } from '@conntext/http'
import { newId, silentLogger } from '@conntext/kernel'
import { eventually, noCalls, testServerDetails } from '@conntext/testing'

// What changes what somebody may do holds on every instance when its answer is there: their guards refuse already, and
// their open WebSockets are closed or moved within so long.
const WITHIN_MS = process.env.CI ? 10_000 : 1_000
const PASSWORD = 'correct horse battery staple'
const SETUP_CODE = 'setup-code-of-this-test'
const credential = 'credential-of-this-test'
const log = silentLogger

type Frame = { op: string; t?: string; ok?: boolean; channels?: { id: string }[]; d?: { removed: string[] } }

/** The real auth service behind two gateways, each with a guard of its own, on one bus; the others are still. */
async function startInstances() {
  const databases = await testServerDetails()
  const bus = createMemoryBus(log)
  const still = async () => ({})
  const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })
  const streams = {
    streamHeads: async ({ streams }: { streams: string[] }) => ({
      heads: Object.fromEntries(streams.map((stream) => [stream, 0])),
    }),
    streamEvents: async () => ({ events: [], truncated: false }),
  }
  const noConversations = {
    conversationsOf: async () => ({ memberships: [], newest: [], next: null }),
    conversation: async () => null,
    acknowledgeDeliveries: still,
    assertAccepted: still,
    markRead: async ({ channelId }: { channelId: string }) => ({ channelId, lastReadSeq: 0 }),
    readStates: async () => ({ states: [] }),
    contactsOf: async () => ({ blocks: [], dmsFrom: 'everyone' as const }),
  }
  const auth = createAuthService({
    db: databases.auth,
    bus,
    log,
    masterKey: new Uint8Array(32).fill(7),
    setupCode: async () => SETUP_CODE,
    publicUrl: 'http://localhost:8080',
    mailer: { send: async () => {} },
    system: {
      registrationMode: async () => ({ mode: 'open' }),
      reserveInvite: async () => ({ inviteId: newId(), roleId: null }),
      releaseInvite: still,
      appendEvents: still,
      ingestAudit: still,
    },
    messaging: { deleteMessagesOf: still, userDeleted: still, publishImage: still, withdrawImage: still } as never,
    credential,
  })
  await auth.start()
  const port = callPort(authPort, { transport: (request) => auth.port.handle(request), credential })
  const upstream: GatewayDeps['upstreams']['auth'] = (request) => auth.app.handle(request)
  const instances = await Promise.all(
    [1, 2].map(async () => {
      const guard = new Guard({ auth: port, bus, log })
      await guard.start()
      const gateway = createGateway({
        config: gatewayConfig({ port: 0, hostname: '127.0.0.1', socket: { sweepMs: 20 } }),
        log,
        bus,
        guard,
        upstreams: { auth: upstream, system: upstream, messaging: upstream, realtime: upstream },
        ports: {
          auth: port,
          system: { ...streams, health },
          messaging: { ...streams, ...noConversations, health, sendMessages: async () => [] },
          realtime: { ...noCalls, health },
        },
        openapi: {},
        asyncapi: '',
        version: '0.0.0-test',
      })
      return { guard, gateway, address: `127.0.0.1:${(await gateway.start()).port}` }
    }),
  )
  return {
    databases,
    bus,
    instances,
    async [Symbol.asyncDispose]() {
      for (const { gateway, guard } of instances) {
        await gateway.stop()
        await guard.stop()
      }
      await auth.stop()
      await databases[Symbol.asyncDispose]()
    },
  }
}

let stack: Awaited<ReturnType<typeof startInstances>>
let owner: Authenticated
let ann: Authenticated
beforeAll(async () => {
  stack = await startInstances()
  owner = await register('owner', { setupCode: SETUP_CODE })
  // The stores may have to be started first.
}, 60_000)
afterAll(() => stack[Symbol.asyncDispose]())
beforeEach(async () => {
  ann = await register(`ann-${newId().slice(-8)}`)
})

/** Asks the first instance. */
async function call<T>(method: string, path: string, by?: { accessToken: string }, body?: object): Promise<T> {
  const answer = await fetch(`http://${stack.instances[0]!.address}${path}`, {
    method,
    headers: {
      ...(by ? { authorization: `Bearer ${by.accessToken}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${text}`)
  return (text === '' ? undefined : JSON.parse(text)) as T
}

const register = (username: string, fields: object = {}) =>
  call<Authenticated>('POST', '/v1/auth/register', undefined, { username, password: PASSWORD, ...fields })

const makeToken = (by: Authenticated, fields: object = {}) =>
  call<CreatedApiToken>('POST', '/v1/auth/tokens', by, {
    name: 'a token',
    scopes: ['channel.view'],
    password: PASSWORD,
    ...fields,
  })

/** A WebSocket to each instance that has had its `ready`. */
const enter = (token: string) =>
  Promise.all(
    stack.instances.map(async ({ address }) => {
      const socket = new WebSocket(`ws://${address}/v1/gateway`)
      const frames: Frame[] = []
      const it = { frames, socket, code: undefined as number | undefined }
      socket.onmessage = ({ data }) => frames.push(JSON.parse(data as string))
      socket.onclose = ({ code }) => {
        it.code = code
      }
      await eventually(() => frames.some(({ op }) => op === 'hello'))
      socket.send(JSON.stringify({ op: 'identify', token, id: 1 }))
      await eventually(() => frames.some(({ op }) => op === 'ready'))
      return it
    }),
  )
type Sockets = Awaited<ReturnType<typeof enter>>

const known = (token: string) =>
  Promise.all(stack.instances.map(async ({ guard }) => (await guard.identify(token)) !== undefined))

const codes = (sockets: Sockets) => Promise.all(sockets.map((one) => eventually(() => one.code, WITHIN_MS)))

const both = <T>(value: T): T[] => [value, value]

test('a session that is ended', async () => {
  const other = await call<Authenticated>('POST', '/v1/auth/login', undefined, {
    login: ann.user.username,
    password: PASSWORD,
  })
  const [ended, kept] = [await enter(ann.accessToken), await enter(other.accessToken)]
  await call('DELETE', `/v1/auth/sessions/${ann.session.id}`, other)
  expect(await known(ann.accessToken)).toEqual(both(false))
  expect(await known(other.accessToken)).toEqual(both(true))
  expect(await codes(ended)).toEqual(both(closeCodes.sessionRevoked))
  expect(kept.map(({ code }) => code)).toEqual(both(undefined))
})

test('an API token that is revoked', async () => {
  const [gone, stays] = [await makeToken(ann), await makeToken(ann)]
  const [ended, kept] = [await enter(gone.token), await enter(stays.token)]
  await call('DELETE', `/v1/auth/tokens/${gone.id}`, ann)
  expect(await known(gone.token)).toEqual(both(false))
  expect(await known(stays.token)).toEqual(both(true))
  expect(await codes(ended)).toEqual(both(closeCodes.sessionRevoked))
  expect(kept.map(({ code }) => code)).toEqual(both(undefined))
})

test.each([
  ['banned', (userId: string) => call('POST', '/v1/bans', owner, { userId })],
  ['kicked', (userId: string) => call('POST', `/v1/members/${userId}/kick`, owner)],
  ['deleted', () => call('DELETE', '/v1/users/@me', ann, { messages: 'keep', password: PASSWORD })],
] as const)('an account that is %s, with its API tokens', async (_, end) => {
  const { token } = await makeToken(ann)
  const sockets = [...(await enter(ann.accessToken)), ...(await enter(token))]
  await end(ann.user.id)
  expect([...(await known(ann.accessToken)), ...(await known(token))]).toEqual([...both(false), ...both(false)])
  expect(await codes(sockets)).toEqual([...both(closeCodes.sessionRevoked), ...both(closeCodes.sessionRevoked)])
})

test('a bot that is deleted', async () => {
  const bot = await call<{ id: string }>('POST', '/v1/bots', owner, { username: `bot-${newId().slice(-8)}` })
  const { token } = await makeToken(owner, { botId: bot.id })
  const sockets = await enter(token)
  await call('DELETE', `/v1/bots/${bot.id}`, owner)
  expect(await known(token)).toEqual(both(false))
  expect(await codes(sockets)).toEqual(both(closeCodes.sessionRevoked))
})

test('a role that is taken, with the channel that it opened', async () => {
  const { items } = await call<{ items: Role[] }>('GET', '/v1/roles', owner)
  const everyone = items.find((role) => role.isEveryone)!
  const role = await call<Role>('POST', '/v1/roles', owner, { name: `inside ${newId()}`, permissions: [] })
  const channel = { id: newId(), name: 'inside', nameKey: newId(), type: 'text' as const, position: 0 }
  const { system } = stack.databases
  await system.insert(channels).values(channel)
  const override = { channelId: channel.id, targetKind: 'role' as const }
  await system.insert(channelOverrides).values([
    { ...override, targetId: everyone.id, allow: [], deny: ['channel.view'] },
    { ...override, targetId: role.id, allow: ['channel.view'], deny: [] },
  ])
  await stack.bus.publish('authority.changed', '{}')
  await call('PATCH', `/v1/members/${ann.user.id}`, owner, { roleIds: [role.id] })
  const sockets = await enter(ann.accessToken)
  const sees = (one: Sockets[number]) => one.frames.find(({ op }) => op === 'ready')!.channels!.map(({ id }) => id)
  expect(sockets.map(sees)).toEqual(both([channel.id]))
  await call('PATCH', `/v1/members/${ann.user.id}`, owner, { roleIds: [] })
  const allowed = stack.instances.map(({ guard }) => guard.allows({ userId: ann.user.id }, 'channel.view', channel.id))
  expect(await Promise.all(allowed)).toEqual(both(false))
  for (const { frames } of sockets) {
    const moved = await eventually(() => frames.find(({ t }) => t === 'access.changed'), WITHIN_MS)
    expect(moved.d!.removed).toEqual([channel.id])
  }
})

test('a timeout, from its answer on until it is lifted', async () => {
  const sockets = await enter(ann.accessToken)
  const maySend = () =>
    Promise.all(stack.instances.map(({ guard }) => guard.allows({ userId: ann.user.id }, 'message.send')))
  expect(await maySend()).toEqual(both(true))
  await call('POST', `/v1/members/${ann.user.id}/timeout`, owner, { expiresInSeconds: 60 })
  expect(await maySend()).toEqual(both(false))
  expect(sockets.map(({ code }) => code)).toEqual(both(undefined))
  await call('DELETE', `/v1/members/${ann.user.id}/timeout`, owner)
  expect(await maySend()).toEqual(both(true))
})
