import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Bus, createMemoryBus } from '@conntext/bus'
import {
  type AuditEvent,
  type Media,
  type Message,
  type MessagePage,
  messagingPort,
  type NewMessage,
  type Problem,
  type StreamAppend,
} from '@conntext/contracts'
import { callPort, Guard } from '@conntext/http'
import { type Clock, createLogger, type Logger, silentLogger, systemClock } from '@conntext/kernel'
import { openFilesystemStore } from '@conntext/object-store'
import { testAuthority, testCommunications } from '@conntext/testing'
import postgres from 'postgres'
import { createMessagingService, type MessagingDeps } from '../src/service.ts'

const CREDENTIAL = 'service-credential-of-the-tests'

export type Member = { userId: string; sessionId: string; token: string }
/** The member as a gateway names them to the port. */
export const onBehalf = ({ userId, sessionId }: Member) => ({
  userId,
  sessionId,
  kind: 'user' as const,
  scopes: null,
  address: null,
  userAgent: null,
  requestId: 'a-request',
})

export type Answer<T> = { status: number; headers: Headers; body: T & Partial<Problem> }

type Options = { bus?: Bus; clock?: Clock; log?: Logger } & Partial<Pick<MessagingDeps, 'quotas' | 'objects'>> & {
    system?: Partial<MessagingDeps['system']>
  }

/** The service over a real database and a real object store; auth is the test's, and system keeps what it is told. */
export async function startMessaging(options: Options = {}) {
  const log = options.log ?? silentLogger
  const clock = options.clock ?? systemClock
  const bus = options.bus ?? createMemoryBus(log)
  const database = await testCommunications()
  const directory = await mkdtemp(join(tmpdir(), 'conntext-messaging-'))
  const objects = options.objects ?? (await openFilesystemStore(directory))
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log, clock })
  await guard.start()
  const audited: AuditEvent[] = []
  const told: StreamAppend[] = []
  const system = {
    ingestAudit: async ({ events }: { events: AuditEvent[] }) => {
      audited.push(...events)
      return {}
    },
    appendEvents: async ({ events }: { events: StreamAppend[] }) => {
      told.push(...events)
      return {}
    },
    ...options.system,
  }
  const deps = {
    db: database.messaging,
    objects,
    bus,
    log,
    clock,
    guard,
    auth: authority.port,
    system,
    credential: CREDENTIAL,
  }
  const service = createMessagingService({ ...deps, ...(options.quotas && { quotas: options.quotas }) })
  await service.start()
  const sql = postgres(database.adminUrl, { max: 2 })

  const request = (method: string, path: string, member: Member | undefined, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (member) headers.set('authorization', `Bearer ${member.token}`)
    return service.app.handle(new Request(`http://localhost${path}`, { ...init, method, headers }))
  }
  const json = async <T>(method: string, path: string, member?: Member, body?: unknown): Promise<Answer<T>> => {
    const sent =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    return answerOf<T>(await request(method, path, member, sent))
  }

  return {
    service,
    deps,
    authority,
    bus,
    objects,
    directory,
    sql,
    audited,
    /** What system was to append to its streams. */
    told,
    request,
    json,
    port: callPort(messagingPort, { transport: service.port.handle, credential: CREDENTIAL }),
    send: (channelId: string, member: Member, message: NewMessage) =>
      json<Message>('POST', `/v1/channels/${channelId}/messages`, member, message),
    history: (channelId: string, member: Member, query = '') =>
      json<MessagePage>('GET', `/v1/channels/${channelId}/messages${query}`, member),
    upload: async (member: Member, body: NonNullable<RequestInit['body']>, query = '') =>
      answerOf<Media>(await request('POST', `/v1/uploads${query}`, member, { body })),
    /** Every file under the object store's directory: objects and what uploads have left. */
    files: async () => {
      const entries = await readdir(directory, { recursive: true, withFileTypes: true })
      return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
    },
    async [Symbol.asyncDispose]() {
      await service.stop()
      await guard.stop()
      await sql.end()
      await database[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export type Stack = Awaited<ReturnType<typeof startMessaging>>

/** A logger, and the lines of level `warn` and above that it has written, parsed. */
export function recordingLogger() {
  const lines: { level: string; msg: string; err?: { cause?: { code?: string; constraint?: string } } }[] = []
  const log = createLogger({ service: 'messaging', level: 'warn', write: (line) => lines.push(JSON.parse(line)) })
  return { log, lines }
}

export async function answerOf<T>(response: Response): Promise<Answer<T>> {
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
