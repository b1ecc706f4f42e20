import { createMemoryBus } from '@conntext/bus'
import {
  type AuditEvent,
  type Channel,
  decodeNews,
  type Permission,
  type ServiceHealth,
  type StreamAppend,
  subjects,
  systemPort,
} from '@conntext/contracts'
import { type Audit, openAudit } from '@conntext/db-audit'
import { callPort, Guard } from '@conntext/http'
import { AppError, type Clock, silentLogger } from '@conntext/kernel'
import { eventually, testAudit, testAuthority, testServerDetails } from '@conntext/testing'
import { createSystemService, type SystemDeps } from '../../src/service.ts'

export type Answer = { status: number; headers: Headers; body: unknown }
export type Caller = { token: string; userId: string } | undefined

const healthy = async (service: string): Promise<ServiceHealth> => ({ service, state: 'up', dependencies: [] })

/** A clock that the test sets; it goes on from there. */
export function testClock() {
  let ahead = 0
  const clock: Clock = { now: () => new Date(Date.now() + ahead) }
  return Object.assign(clock, {
    advance(ms: number) {
      ahead += ms
    },
  })
}

/** What the messaging service was asked, and what it answers. */
function testMessaging() {
  const appended: StreamAppend[] = []
  const deleted: string[] = []
  /** Pictures that people have uploaded, by whom. */
  const pictures = new Map<string, string>()
  const published = new Set<string>()
  /** For as long as they stand: an answer to a publication that is lost, a withdrawal that doesn't get through. */
  const faults: { publish?: Error; withdraw?: Error } = {}
  const port: SystemDeps['messaging'] = {
    async appendEvents({ events }) {
      appended.push(...events)
      return {}
    },
    async channelDeleted({ channelId }) {
      deleted.push(channelId)
      return {}
    },
    async publishImage({ mediaId, userId, holder }) {
      if (pictures.get(mediaId) !== userId) throw new AppError('media.notFound', 404, 'No such file')
      published.add(`${holder} ${mediaId}`)
      if (faults.publish) throw faults.publish
      return {}
    },
    async withdrawImage({ mediaId, holder }) {
      if (faults.withdraw) throw faults.withdraw
      published.delete(`${holder} ${mediaId}`)
      return {}
    },
    async storage() {
      const some = { files: 1, bytes: 100 }
      const media = { objects: 3, bytes: 300, channels: [], conversations: some, unused: some }
      return { bytes: 2_000, tables: [{ name: 'messages', bytes: 1_000, rows: 5 }], media }
    },
    health: () => healthy('messaging'),
  }
  return { port, appended, deleted, pictures, published, faults }
}

type Options = {
  /** Between the service and ClickHouse. */
  clickhouseUrl?: (real: string) => string | Promise<string>
  /** What is there before the service starts. */
  before?: (audit: Audit) => Promise<void>
} & Partial<Pick<SystemDeps, 'auth' | 'realtime'>>

/** The service over real databases of its own, with the other services' ports faked. */
export async function startSystem(options: Options = {}) {
  const [databases, clickhouse] = await Promise.all([testServerDetails(), testAudit()])
  const log = silentLogger
  const url = (await options.clickhouseUrl?.(clickhouse.url)) ?? clickhouse.url
  const audit = openAudit({ ...clickhouse, url, log })
  await options.before?.(audit)
  const bus = createMemoryBus(log)
  const clock = testClock()
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log })
  await guard.start()
  const messaging = testMessaging()
  const deps: SystemDeps = {
    db: databases.system,
    audit,
    bus,
    log,
    clock,
    guard,
    masterKey: new Uint8Array(32).fill(7),
    auth: { health: () => healthy('auth'), join: () => Promise.reject(new Error('not of this test')) },
    messaging: messaging.port,
    realtime: { health: () => healthy('realtime') },
    credential: 'test',
    version: '1.2.3',
    ...options,
  }
  const service = createSystemService(deps)
  await service.start()
  const portOf = (one: typeof service) =>
    callPort(systemPort, { transport: (request) => one.port.handle(request), credential: deps.credential })
  const port = portOf(service)
  /** What everybody was told live. */
  const heard: { seq: number; t: string; d: unknown }[] = []
  await bus.subscribe(subjects.stream('server'), (payload) => {
    const { seq, frame } = decodeNews(payload)
    heard.push({ seq, ...(JSON.parse(frame) as { t: string; d: unknown }) })
  })

  const call = async (method: string, path: string, caller?: Caller, body?: unknown, headers = {}): Promise<Answer> => {
    const response = await service.app.handle(
      new Request(`http://localhost${path}`, {
        method,
        headers: {
          ...(caller ? { authorization: `Bearer ${caller.token}` } : {}),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
      }),
    )
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
  }
  const auditor = await authority.member({ permissions: ['audit.view'] })

  return {
    service,
    deps,
    databases,
    auditConnection: clickhouse,
    audit,
    bus,
    clock,
    authority,
    guard,
    messaging,
    heard,
    port,
    /** A second instance of the service over the same databases. */
    async another(change: Partial<SystemDeps> = {}) {
      const one = createSystemService({ ...deps, ...change })
      await one.start()
      return { service: one, port: portOf(one) }
    },
    call,
    member: (...permissions: Permission[]) => authority.member({ permissions }),
    /** A channel of the service that the faked permission snapshot knows as well. */
    async channel(caller: Caller, fields: Partial<Channel> = {}): Promise<Channel> {
      const { name = `c-${crypto.randomUUID()}`, type = 'text', parentId = null } = fields
      const made = await call('POST', '/v1/channels', caller, { name, type, parentId })
      if (made.status !== 201) throw new Error(JSON.stringify(made.body))
      return authority.channel(made.body as Channel)
    },
    /** The stored events of an action, newest first, once there are so many. */
    async trail(action: string, atLeast = 1): Promise<AuditEvent[]> {
      return eventually(async () => {
        const { body } = await call('GET', `/v1/audit/events?action=${action}&limit=100`, auditor)
        const { items } = body as { items: AuditEvent[] }
        return items.length >= atLeast ? items : undefined
      })
    },
    async streamOf(name: string) {
      const { events } = await port.streamEvents({ stream: name, after: 0, limit: 500 })
      return events.map(({ seq, frame }) => ({ seq, ...(JSON.parse(frame) as { t: string; d: unknown }) }))
    },
    async [Symbol.asyncDispose]() {
      await service.stop()
      await guard.stop()
      await audit.close()
      await databases[Symbol.asyncDispose]()
      await clickhouse[Symbol.asyncDispose]()
    },
  }
}

export type System = Awaited<ReturnType<typeof startSystem>>
