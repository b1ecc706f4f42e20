import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemoryBus } from '@conntext/bus'
import { type MessagingPort, messagingPort, type SystemPort } from '@conntext/contracts'
import { type Communications, openCommunications, streamEvents, streams } from '@conntext/db-communications'
import { createGateway, type GatewayDeps, gatewayConfig } from '@conntext/gateway'
import { callPort, Guard } from '@conntext/http'
import { silentLogger as log } from '@conntext/kernel'
import { createMessagingService } from '@conntext/messaging'
import { openFilesystemStore } from '@conntext/object-store'
import { appendEvents, publishEvents, streamEvents as readEvents, streamHeads } from '@conntext/streams'
import { eventually, noCalls, testAuthority, testCommunications } from '@conntext/testing'
import { sql } from 'drizzle-orm'
import { InstanceBus, type Losses, seeded } from './bus.ts'

const credential = 'credential-of-this-test'
const tables = { streams, streamEvents }
const WITHIN_MS = 30_000
const SLOWEST_MS = 100
// What is left of a killed instance is not waited for longer.
const GRAVE_MS = 10_000
const unlimited = { perSecond: 0, burst: 0 }
const LOSSES: Losses = { drop: 0.2, repeat: 0.1, delay: 0.2, longestMs: 30 }

/** What was asked of an instance that was killed: it may have been done, or not. */
export const CUT = Symbol('cut')
// biome-ignore lint/suspicious/noExplicitAny: looked at as a client sees it
export type Answer = { status: number; body: any }

/** Somewhere to talk to: instances that are there or not. */
export type Place = {
  size: number
  isAlive(instance: number): boolean
  /** Resolves with an instance that is alive: this one where it is. */
  reach(instance: number): Promise<number>
  address(instance: number): string
  call(instance: number, token: string, method: string, path: string, body?: unknown): Promise<Answer | typeof CUT>
}

type Shared = {
  bus: ReturnType<typeof createMemoryBus>
  authority: Awaited<ReturnType<typeof testAuthority>>
  database: Awaited<ReturnType<typeof testCommunications>>
  objects: Awaited<ReturnType<typeof openFilesystemStore>>
  system: Pick<SystemPort, 'ingestAudit' | 'appendEvents' | 'streamHeads' | 'streamEvents'>
  random: () => number
}

export type Instance = Awaited<ReturnType<typeof startInstance>>

/** The driver leaves what waits for a connection waiting for ever when its pool is closed: here it fails. */
function mortal(pool: Communications, killed: Promise<unknown>): Communications {
  const ended = killed.then(() => Promise.reject(Object.assign(new Error('killed'), { code: 'CONNECTION_ENDED' })))
  ended.catch(() => {})
  const transaction = ((...given: Parameters<Communications['transaction']>) =>
    Promise.race([pool.transaction(...given), ended])) as Communications['transaction']
  return new Proxy(pool, {
    get(target, key) {
      if (key === 'transaction') return transaction
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Messaging and a gateway, with connections to the database of their own: what ends together when a process is killed. */
async function startInstance({ bus: shared, authority, database, objects, system, random }: Shared, name: string) {
  const bus = new InstanceBus(shared, random, LOSSES)
  const killed = Promise.withResolvers<typeof CUT>()
  const pool = openCommunications({ url: database.messagingUrl, poolSize: 5, applicationName: name })
  const db = mortal(pool, killed.promise)
  const guards = [1, 2].map(() => new Guard({ auth: authority.port, bus, log }))
  await Promise.all(guards.map((guard) => guard.start()))
  const service = createMessagingService({
    ...{ db, objects, bus, log, guard: guards[0]!, credential, auth: authority.port, system },
  } as never)
  await service.start()
  const port: MessagingPort = callPort(messagingPort, {
    transport: (request) => service.port.handle(request),
    credential,
  })
  const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })
  const upstream: GatewayDeps['upstreams']['messaging'] = (request) => service.app.handle(request)
  const gateway = createGateway({
    config: gatewayConfig({
      ...{ port: 0, hostname: '127.0.0.1', drainMs: 0 },
      rates: { account: unlimited, address: unlimited, credentials: unlimited },
      socket: { sweepMs: 20, frames: unlimited, messages: unlimited },
      streams: { reconcileMs: 100, gapWaitMs: 5, ringFrames: 16, lingerMs: 200 },
    }),
    ...{ log, bus, guard: guards[1]! },
    upstreams: { auth: upstream, system: upstream, messaging: upstream, realtime: upstream },
    ports: {
      auth: { ownUser: authority.port.ownUser, health },
      system: { ...system, health },
      messaging: port,
      realtime: { ...noCalls, health },
    } as GatewayDeps['ports'],
    openapi: {},
    asyncapi: '',
    version: '0.0.0-test',
  })
  const address = `127.0.0.1:${(await gateway.start()).port}`
  const stop = async () => {
    await gateway.stop()
    await service.stop()
    await Promise.all(guards.map((guard) => guard.stop()))
  }
  return { name, bus, db, service, address, killed, stop }
}

/** The system service's part: it keeps the streams of people, here in the same database. It is not killed. */
function systemOf(database: Shared['database'], bus: Shared['bus'], random: () => number): Shared['system'] {
  const db = database.messaging
  return {
    ingestAudit: async () => ({}),
    async appendEvents({ events }) {
      // Slow enough for what is owed to gather.
      await Bun.sleep(random() * SLOWEST_MS)
      const appended = await db.transaction((tx) => appendEvents(tx, tables, events))
      await publishEvents(bus, log, appended)
      return {}
    },
    streamHeads: async ({ streams: names }) => ({ heads: await streamHeads(db, tables, names) }),
    streamEvents: (query) => readEvents(db, tables, query),
  }
}

/** Two instances over one database and one bus, each of which can be killed and started again. */
export async function startStack(seed: number) {
  const bus = createMemoryBus(log)
  const authority = await testAuthority(bus)
  const database = await testCommunications()
  const directory = await mkdtemp(join(tmpdir(), 'conntext-model-'))
  const objects = await openFilesystemStore(directory)
  const random = seeded(seed)
  const shared: Shared = { bus, authority, database, objects, system: systemOf(database, bus, random), random }
  const dying: Promise<unknown>[] = []
  let started = 0
  const start = () => startInstance(shared, `model ${++started}`)
  const instances: (Instance | undefined)[] = await Promise.all([start(), start()])

  const place: Place = {
    size: instances.length,
    isAlive: (index) => instances[index] !== undefined,
    async reach(index) {
      const find = () => [index, ...instances.keys()].find((one) => instances[one]) ?? -1
      await eventually(() => find() >= 0, WITHIN_MS)
      return find()
    },
    address: (index) => instances[index]?.address ?? '127.0.0.1:1',
    async call(index, token, method, path, body) {
      const instance = instances[index]
      if (!instance) return CUT
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
      const answering = instance.service.app.handle(new Request(`http://localhost${path}`, init))
      const response = await Promise.race([answering, instance.killed.promise])
      if (response === CUT) return CUT
      const text = await response.text()
      return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
    },
  }

  return {
    place,
    authority,
    db: database.messaging,
    instances,
    /**
     * Ends an instance as a killed process ends: at once nobody hears of it any more, its transactions are lost or have
     * been committed unheard. What is left of it in this process can reach nobody.
     */
    async kill(index: number) {
      const instance = instances[index]
      if (!instance) return
      instances[index] = undefined
      instance.bus.die()
      instance.killed.resolve(CUT)
      const closing = instance.db.close()
      await database.messaging.execute(
        sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${instance.name}`,
      )
      dying.push(Promise.race([Promise.allSettled([instance.stop(), closing]), Bun.sleep(GRAVE_MS)]))
    },
    async restart(index: number) {
      instances[index] ??= await start()
    },
    async [Symbol.asyncDispose]() {
      for (const instance of instances) if (instance) dying.push(instance.stop().then(() => instance.db.close()))
      await Promise.all(dying)
      await database[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export type Stack = Awaited<ReturnType<typeof startStack>>
