import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bus, createMemoryBus } from '@conntext/bus'
import {
  type Conversation,
  type Message,
  type MessagingPort,
  messagingPort,
  type Permission,
  type Problem,
} from '@conntext/contracts'
import { createGateway, type GatewayConfig, type GatewayDeps, gatewayConfig } from '@conntext/gateway'
import { callPort, Guard } from '@conntext/http'
import { silentLogger as log } from '@conntext/kernel'
import { createMessagingService } from '@conntext/messaging'
import { openFilesystemStore } from '@conntext/object-store'
import { eventually, noCalls, testAuthority, testCommunications } from '@conntext/testing'

const credential = 'credential-of-this-test'

// biome-ignore lint/suspicious/noExplicitAny: frames are looked at as a client sees them
export type Frame = any
export type Member = { userId: string; sessionId: string; token: string }
type Answer<T> = { status: number; body: T & Partial<Problem> }

/** A WebSocket that keeps what it is sent; but for who is online, which is told at any moment. */
export class Client {
  readonly frames: Frame[] = []
  readonly socket: WebSocket
  #nextId = 1
  #closedWith: number | undefined

  constructor(address: string) {
    this.socket = new WebSocket(`ws://${address}/v1/gateway`)
    this.socket.onclose = ({ code }) => {
      this.#closedWith = code
    }
    this.socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data as string) as Frame
      if (frame.t !== 'presence.updated') this.frames.push(frame)
    }
  }

  /** Resolves when the server has closed it, with that code. */
  async closed(code: number): Promise<void> {
    await eventually(() => this.#closedWith === code)
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame))
  }

  frame(fits: (frame: Frame) => boolean): Promise<Frame> {
    return eventually(() => this.frames.find(fits))
  }

  event(type: string, fits: (d: Frame) => boolean = () => true): Promise<Frame> {
    return this.frame((one) => one.op === 'event' && one.t === type && fits(one.d))
  }

  async ask(frame: object): Promise<Frame> {
    const id = this.#nextId++
    this.send({ ...frame, id })
    return this.frame((one) => one.op === 'reply' && one.id === id)
  }

  /** What came of a conversation: its messages' words, in the order in which they came. */
  words(channelId: string): string[] {
    return this.frames
      .filter((one) => one.t === 'message.created' && one.d.channelId === channelId)
      .map((one) => one.d.content)
  }

  seqs(channelId: string): number[] {
    return this.frames.filter((one) => one.stream === `channel:${channelId}` && one.seq).map((one) => one.seq)
  }
}

type Options = {
  /** A bus for each process, instead of one that all share. */
  newBus?: () => Bus
  streams?: Partial<GatewayConfig['streams']>
  /** What the gateways listen on, made of the bus that everybody else uses. */
  gatewayBus?: (bus: Bus) => Bus
  /** Changes what messaging answers to the gateways. */
  gatewayPort?: (port: MessagingPort) => MessagingPort
}

/** Two instances of messaging over one database, and two gateways, on one bus or each on its own; auth is the tests'. */
export async function startConversing(options: Options = {}) {
  const shared = createMemoryBus(log)
  const buses: Bus[] = []
  const newBus = () => {
    const bus = options.newBus?.() ?? shared
    buses.push(bus)
    return bus
  }
  const bus = newBus()
  const authority = await testAuthority(bus)
  const database = await testCommunications()
  const directory = await mkdtemp(join(tmpdir(), 'conntext-conversing-'))
  const objects = await openFilesystemStore(directory)
  const still = async () => ({})
  const health = async () => ({ service: 'none', state: 'up' as const, dependencies: [] })
  const streams = {
    streamHeads: async ({ streams }: { streams: string[] }) => ({
      heads: Object.fromEntries(streams.map((stream) => [stream, 0])),
    }),
    streamEvents: async () => ({ events: [], truncated: false }),
  }
  const newGuard = async (bus: Bus) => {
    const guard = new Guard({ auth: authority.port, bus, log })
    await guard.start()
    return guard
  }
  const instances = await Promise.all(
    [1, 2].map(async () => {
      const [messagingBus, gatewayBus] = [newBus(), newBus()]
      const guard = await newGuard(messagingBus)
      const service = createMessagingService({
        ...{ db: database.messaging, objects, bus: messagingBus, log, guard, credential },
        auth: authority.port,
        system: { ingestAudit: still, appendEvents: still },
      } as never)
      await service.start()
      const port = callPort(messagingPort, { transport: (request) => service.port.handle(request), credential })
      const gatewayGuard = await newGuard(gatewayBus)
      const upstream: GatewayDeps['upstreams']['messaging'] = (request) => service.app.handle(request)
      const gateway = createGateway({
        config: gatewayConfig({
          port: 0,
          hostname: '127.0.0.1',
          socket: { sweepMs: 20 },
          streams: { ...options.streams },
        }),
        log,
        bus: options.gatewayBus?.(gatewayBus) ?? gatewayBus,
        guard: gatewayGuard,
        upstreams: { auth: upstream, system: upstream, messaging: upstream, realtime: upstream },
        ports: {
          auth: { ownUser: authority.port.ownUser, health },
          system: { ...streams, health },
          messaging: options.gatewayPort?.(port) ?? port,
          realtime: { ...noCalls, health },
        } as GatewayDeps['ports'],
        openapi: {},
        asyncapi: '',
        version: '0.0.0-test',
      })
      const { port: listening } = await gateway.start()
      return { service, port, gateway, guards: [guard, gatewayGuard], address: `127.0.0.1:${listening}` }
    }),
  )
  const clients: Client[] = []

  const call = async <T>(
    method: string,
    path: string,
    member: Member,
    body?: unknown,
    instance = 0,
  ): Promise<Answer<T>> => {
    const response = await instances[instance]!.service.app.handle(
      new Request(`http://localhost${path}`, {
        method,
        headers: { authorization: `Bearer ${member.token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    )
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  return {
    authority,
    bus,
    db: database.messaging,
    instances,
    call,
    members: (count: number) => Promise.all(Array.from({ length: count }, () => authority.member())),
    withScopes: (member: Member, scopes: Permission[]) => ({
      ...member,
      token: authority.apiToken(member.userId, scopes).token,
    }),
    open: async (member: Member, userIds: string[], name?: string) =>
      (await call<Conversation>('POST', '/v1/dms', member, { userIds, ...(name ? { name } : {}) })).body,
    say: async (channelId: string, member: Member, content: string, instance = 0) =>
      (await call<Message>('POST', `/v1/channels/${channelId}/messages`, member, { content }, instance)).body,
    /** A client that has had its `ready`, on the gateway of that instance. */
    async enter(member: Member, instance = 0, cursors?: Record<string, number>) {
      const client = new Client(instances[instance]!.address)
      clients.push(client)
      await client.frame((one) => one.op === 'hello')
      client.send({ op: 'identify', token: member.token, ...(cursors ? { cursors } : {}) })
      const ready = await client.frame((one) => one.op === 'ready')
      return { client, ready }
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of clients) socket.close()
      for (const { gateway, service, guards } of instances) {
        await gateway.stop()
        await service.stop()
        for (const guard of guards) await guard.stop()
      }
      for (const bus of buses) await bus.close()
      await database[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export type Conversing = Awaited<ReturnType<typeof startConversing>>
