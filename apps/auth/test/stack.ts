import { createMemoryBus } from '@conntext/bus'
import {
  type AuditEvent,
  type Authenticated,
  authPort,
  type ExportedCall,
  type ExportedMessage,
  type Media,
  type NewRole,
  type OwnUser,
  type Permission,
  type Problem,
  type Registration,
  type Role,
  type StreamAppend,
  type SystemPort,
  subjects,
  type User,
} from '@conntext/contracts'
import { authOutbox } from '@conntext/db-server-details'
import { ADDRESS_HEADER, callPort } from '@conntext/http'
import { AppError, type Clock, silentLogger } from '@conntext/kernel'
import type { Mail } from '@conntext/mailer'
import { eventually, testServerDetails } from '@conntext/testing'
import { isNull } from 'drizzle-orm'
import { type AuthServiceDependencies, createAuthService } from '../src/service.ts'
import { withKnownPassword } from './support/known-password.ts'

export const SETUP_CODE = 'setup-code-of-this-test'
export const PASSWORD = 'correct horse battery staple'
export const MASTER_KEY = new Uint8Array(32).fill(7)
const CREDENTIAL = 'credential-of-this-test'

type Mode = 'open' | 'invite' | 'closed'
type Call = { token?: string | undefined; body?: unknown; address?: string; headers?: Record<string, string> }
export type Answer<T> = { status: number; body: T; headers: Headers; text: string }

/** What others see of an account. */
export function publicSide(user: OwnUser): User {
  const { email, emailVerified, isOwner, isMember, hasPassword, mfaEnabled, ...shown } = user
  return shown
}

/** A clock that stands still until it is told to go on. */
export function testClock(start = Date.now()) {
  let now = start
  return {
    now: () => new Date(now),
    advance(ms: number) {
      now += ms
    },
  } satisfies Clock & { advance(ms: number): void }
}

/** The system service's part, in memory: it keeps what is delivered and counts the uses of invites. */
function fakeSystem() {
  const state = {
    mode: 'open' as Mode,
    invites: new Map<string, { roleId: string | null; usesLeft: number }>(),
    reserved: new Map<string, string>(),
    audit: [] as AuditEvent[],
    events: [] as StreamAppend[],
    releases: [] as string[],
    failReleases: 0,
  }
  const once = <T extends { id: string }>(into: T[], given: T[]) => {
    for (const one of given) if (!into.some((known) => known.id === one.id)) into.push(one)
  }
  const port: AuthServiceDependencies['system'] = {
    registrationMode: async () => ({ mode: state.mode }),
    async reserveInvite({ code, userId }) {
      const invite = state.invites.get(code)
      if (!invite) throw new AppError('invite.notFound', 404, 'No such invite')
      if (invite.usesLeft === 0) throw new AppError('invite.usedUp', 410, 'The invite has been used up')
      invite.usesLeft -= 1
      state.reserved.set(userId, code)
      return { inviteId: userId, roleId: invite.roleId }
    },
    async releaseInvite({ userId }) {
      if (state.failReleases > 0) {
        state.failReleases -= 1
        throw new AppError('dependency.away', 503, 'away')
      }
      state.releases.push(userId)
      const invite = state.invites.get(state.reserved.get(userId) ?? '')
      if (invite && state.reserved.delete(userId)) invite.usesLeft += 1
      return {}
    },
    async ingestAudit({ events }) {
      once(state.audit, events)
      return {}
    },
    async appendEvents({ events }) {
      once(state.events, events)
      return {}
    },
  } satisfies Partial<SystemPort>
  return { state, port }
}

/** The messaging service's part, in memory: it keeps what it was told to delete, and which pictures are shown. */
function fakeMessaging() {
  const deletions: { operation: string; request: object }[] = []
  /** Whose uploads there are, and what is shown where. */
  const pictures = { owners: new Map<string, string>(), shown: new Set<string>(), away: false }
  const shownAs = ({ mediaId, holder }: { mediaId: string; holder?: string }) => `${mediaId} ${holder ?? 'server'}`
  const taking = (operation: string) => async (request: object) => {
    deletions.push({ operation, request })
    return {}
  }
  /** Whom people have blocked. */
  const blocks = new Map<string, string[]>()
  /** Who was told to have joined, by the id of the joining. */
  const joined = new Map<string, string>()
  /** What people have written, and their files: each list is one page. */
  const written = {
    messages: [] as ExportedMessage[][],
    files: [] as Media[][],
    calls: [] as ExportedCall[][],
    away: false,
  }
  const page = <T>(pages: T[][], at: number) => {
    if (written.away) throw new AppError('dependency.away', 503, 'away')
    return { items: pages[at] ?? [], next: at + 1 < pages.length ? at + 1 : null }
  }
  const port: AuthServiceDependencies['messaging'] = {
    async memberJoined({ id, userId }) {
      joined.set(id, userId)
      return {}
    },
    async writtenBy({ userId: channelId, after }) {
      const { items, next } = page(written.messages, after?.seq ?? 0)
      return { items, next: next === null ? null : { channelId, seq: next } }
    },
    async filesOf({ after }) {
      const { items, next } = page(written.files, Number(after ?? 0))
      return { items, next: next === null ? null : String(next) }
    },
    async callsOf({ after }) {
      const { items, next } = page(written.calls, Number(after ?? 0))
      return { items, next: next === null ? null : String(next) }
    },
    contactsOf: async ({ userId }) => ({ blocks: blocks.get(userId) ?? [], dmsFrom: 'everyone' }),
    deleteMessagesOf: taking('deleteMessagesOf'),
    userDeleted: taking('userDeleted'),
    async publishImage(request) {
      if (pictures.owners.get(request.mediaId) !== request.userId)
        throw new AppError('media.notFound', 404, 'No such file')
      pictures.shown.add(shownAs(request))
      return {}
    },
    async withdrawImage(request) {
      if (pictures.away) throw new AppError('dependency.away', 503, 'away')
      pictures.shown.delete(shownAs(request))
      return {}
    },
  }
  return { deletions, pictures, blocks, joined, written, port }
}

/** The auth service on a database of its own, with everything around it that it calls. */
export async function startAuth(overrides: Partial<AuthServiceDependencies> = {}) {
  const database = await testServerDetails()
  const bus = createMemoryBus(silentLogger)
  const system = fakeSystem()
  const messaging = fakeMessaging()
  const published: { subject: string; payload: unknown }[] = []
  for (const subject of [subjects.authority, subjects.sessionRevoked]) {
    await bus.subscribe(subject, (payload) => published.push({ subject, payload: JSON.parse(payload) }))
  }
  const mails: Mail[] = []
  let claims = 0
  const options: AuthServiceDependencies = {
    db: database.auth,
    bus,
    log: silentLogger,
    masterKey: MASTER_KEY,
    setupCode: async () => (claims === 0 ? SETUP_CODE : undefined),
    onClaimed: async () => {
      claims += 1
    },
    system: system.port,
    messaging: messaging.port,
    credential: CREDENTIAL,
    publicUrl: 'http://localhost:8080',
    mailer: {
      async send(mail) {
        mails.push(mail)
      },
    },
    ...overrides,
  }
  const service = createAuthService(options)
  await service.start()

  const request = async <T>(method: string, path: string, call: Call = {}): Promise<Answer<T>> => {
    const headers = new Headers(call.headers)
    if (call.token) headers.set('authorization', `Bearer ${call.token}`)
    if (call.address) headers.set(ADDRESS_HEADER, call.address)
    if (call.body !== undefined) headers.set('content-type', 'application/json')
    const body = call.body === undefined ? null : JSON.stringify(call.body)
    const response = await service.app.handle(new Request(`http://localhost${path}`, { method, headers, body }))
    const text = await response.text()
    const parsed = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined
    return { status: response.status, body: parsed as T, headers: response.headers, text }
  }

  const stack = {
    service,
    options,
    bus,
    database,
    system: system.state,
    deletions: messaging.deletions,
    mails,
    /** The newest mail to an address, once as many as `count` have been sent to it. */
    mailTo: (address: string, count = 1) =>
      eventually(() => {
        const found = mails.filter(({ to }) => to === address)
        return found.length >= count ? found.at(-1) : undefined
      }),
    pictures: messaging.pictures,
    blocks: messaging.blocks,
    joined: messaging.joined,
    written: messaging.written,
    published,
    claims: () => claims,
    port: callPort(authPort, { transport: (request) => service.port.handle(request), credential: CREDENTIAL }),
    request,
    register: (fields: Partial<Registration>, call: Call = {}) =>
      request<Authenticated & Problem>('POST', '/v1/auth/register', {
        ...call,
        body: { username: 'somebody', password: PASSWORD, ...fields },
      }),
    login: (login: string, password = PASSWORD, call: Call = {}) =>
      request<Authenticated & Problem>('POST', '/v1/auth/login', { ...call, body: { login, password } }),
    refresh: (refreshToken: string, call: Call = {}) =>
      request<Authenticated & Problem>('POST', '/v1/auth/refresh', { ...call, body: { refreshToken } }),
    async member(username: string): Promise<Authenticated> {
      const { status, body, text } = await withKnownPassword(() => stack.register({ username }))
      if (status !== 201) throw new Error(`${username} could not register: ${text}`)
      return body
    },
    async owner(): Promise<Authenticated> {
      const { body } = await withKnownPassword(() => stack.register({ username: 'owner', setupCode: SETUP_CODE }))
      return body
    },
    /** A role made by the owner; each new one is below those that were made before it. */
    async role(owner: Authenticated, name: string, permissions: Permission[] = []): Promise<Role> {
      const body: NewRole = { name, permissions }
      return (await request<Role>('POST', '/v1/roles', { token: owner.accessToken, body })).body
    },
    give: (by: Authenticated, userId: string, roleIds: string[]) =>
      request<Problem>('PATCH', `/v1/members/${userId}`, { token: by.accessToken, body: { roleIds } }),
    /** Whatever is owed has been delivered; answers what system got. */
    async delivered() {
      await eventually(
        async () => (await database.auth.select().from(authOutbox).where(isNull(authOutbox.deliveredAt))).length === 0,
      )
      return { audit: system.state.audit, events: system.state.events }
    },
    actions: async (action: string) => (await stack.delivered()).audit.filter((event) => event.action === action),
    /** Refusals are recorded apart from the request: waits for so many. */
    refusals: (action: string, count: number) =>
      eventually(async () => {
        const events = await stack.actions(action)
        return events.length >= count ? events : undefined
      }),
    events: async (type: string) => (await stack.delivered()).events.filter((event) => event.type === type),
    async [Symbol.asyncDispose]() {
      await service.stop()
      await database[Symbol.asyncDispose]()
    },
  }
  return stack
}
