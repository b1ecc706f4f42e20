import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createAuthService } from '@conntext/auth'
import { createMemoryBus } from '@conntext/bus'
import {
  type Authenticated,
  authPort,
  type Invite,
  type Member,
  type NewInvite,
  type Problem,
  type Role,
  systemPort,
} from '@conntext/contracts'
import { migrateAudit, openAudit } from '@conntext/db-audit'
import { authOutbox, openServerDetails, systemOutbox } from '@conntext/db-server-details'
import { ADDRESS_HEADER, callPort, type Service } from '@conntext/http'
import { silentLogger as log } from '@conntext/kernel'
import { createSystemService } from '@conntext/system'
import { eventually, testClickHouse, testServerDetails } from '@conntext/testing'
import { isNull, sql } from 'drizzle-orm'

// What auth and system do for each other, with both of them real, over one database.
const PASSWORD = 'correct horse battery staple'
const SETUP_CODE = 'setup-code-of-this-test'
const credential = 'credential-of-this-test'
const masterKey = new Uint8Array(32).fill(7)

async function startTogether() {
  const [databases, clickhouse] = await Promise.all([testServerDetails(), testClickHouse()])
  await migrateAudit({ ...clickhouse, log })
  const audit = openAudit({ ...clickhouse, log })
  const bus = createMemoryBus(log)
  const services: Record<string, Service> = {}
  const port = (service: string) => ({
    transport: (request: Request) => services[service]!.port.handle(request),
    credential,
  })
  const auth = callPort(authPort, port('auth'))
  const system = callPort(systemPort, port('system'))
  const still = async () => ({})
  const messaging = new Proxy({}, { get: () => still }) as never
  const authService = createAuthService({
    ...{ db: databases.auth, bus, log, masterKey, credential, system, messaging },
    setupCode: async () => SETUP_CODE,
    publicUrl: 'http://localhost:8080',
    mailer: { send: async () => {} },
  })
  const systemService = createSystemService({
    ...{ db: databases.system, audit, bus, log, masterKey, credential, auth, messaging },
    guard: authService.guard,
    realtime: { health: async () => ({ service: 'realtime', state: 'up', dependencies: [] }) },
    version: '0.0.0-test',
  })
  Object.assign(services, { auth: authService, system: systemService })
  await authService.start()
  await systemService.start()
  const db = openServerDetails({ url: databases.adminUrl, poolSize: 2, applicationName: 'test' })

  const call = async <T>(service: 'auth' | 'system', method: string, path: string, token?: string, body?: unknown) => {
    const headers = new Headers({ [ADDRESS_HEADER]: '192.0.2.77' })
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
    if (body !== undefined) headers.set('content-type', 'application/json')
    const init = { method, headers, body: body === undefined ? null : JSON.stringify(body) }
    const response = await services[service]!.app.handle(new Request(`http://localhost${path}`, init))
    const text = await response.text()
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T & Problem }
  }
  const register = async (username: string, fields: object = {}) => {
    const body = { username, password: PASSWORD, ...fields }
    const answer = await call<Authenticated>('auth', 'POST', '/v1/auth/register', undefined, body)
    if (answer.status !== 201) throw new Error(`${username} could not register: ${answer.body.code}`)
    return { id: answer.body.user.id, token: answer.body.accessToken }
  }

  return {
    db,
    call,
    register,
    login: async (username: string) => {
      const body = { login: username, password: PASSWORD }
      return (await call<Authenticated>('auth', 'POST', '/v1/auth/login', undefined, body)).body.accessToken
    },
    /** All that is owed has been delivered. */
    delivered: () =>
      eventually(async () => {
        const counts = [authOutbox, systemOutbox].map((table) => db.$count(table, isNull(table.deliveredAt)))
        return (await Promise.all(counts)).every((count) => count === 0)
      }),
    async [Symbol.asyncDispose]() {
      await authService.stop()
      await systemService.stop()
      await audit.close()
      await db.close()
      await databases[Symbol.asyncDispose]()
      await clickhouse[Symbol.asyncDispose]()
    },
  }
}
type Together = Awaited<ReturnType<typeof startTogether>>

let it: Together
let owner: { id: string; token: string }

const mode = (registrationMode: 'open' | 'invite') =>
  it.call('system', 'PATCH', '/v1/server', owner.token, { registrationMode })

beforeAll(async () => {
  it = await startTogether()
  owner = await it.register('owner', { setupCode: SETUP_CODE })
  await mode('open')
})
afterAll(() => it[Symbol.asyncDispose]())

describe('an invite that is redeemed', () => {
  const invite = async (fields: NewInvite) =>
    (await it.call<Invite>('system', 'POST', '/v1/invites', owner.token, fields)).body
  const usesOf = async ({ id }: Invite) => {
    const { items } = (await it.call<{ items: Invite[] }>('system', 'GET', '/v1/invites', owner.token)).body
    return items.find((one) => one.id === id)!.uses
  }
  const redeem = (code: string, token: string) => it.call<Member>('system', 'POST', `/v1/invites/${code}/redeem`, token)
  const kick = (id: string) => it.call('auth', 'POST', `/v1/members/${id}/kick`, owner.token)
  test('brings back who was kicked, once and with its role, and nobody who is banned', async () => {
    const role = (await it.call<Role>('auth', 'POST', '/v1/roles', owner.token, { name: 'Guests' })).body
    const ann = await it.register('ann')
    const made = await invite({ maxUses: 1, roleId: role.id })
    expect(await redeem(made.code, ann.token)).toMatchObject({ status: 409, body: { code: 'member.alreadyMember' } })
    await mode('invite')
    expect((await kick(ann.id)).status).toBe(204)
    expect((await redeem(made.code, ann.token)).status).toBe(401)
    const back = await it.login('ann')
    expect(await redeem('a-code-that-nobody-made', back)).toMatchObject({ status: 404 })
    expect(await usesOf(made)).toBe(0)
    expect(await redeem(made.code, back)).toMatchObject({
      status: 200,
      body: { user: { id: ann.id }, roleIds: [role.id] },
    })
    expect(await usesOf(made)).toBe(1)
    expect((await it.call('auth', 'GET', '/v1/members', back)).status).toBe(200)

    await kick(ann.id)
    const again = await it.login('ann')
    expect(await redeem(made.code, again)).toMatchObject({ status: 410, body: { code: 'invite.usedUp' } })
    const other = await invite({})
    expect((await it.call('auth', 'POST', '/v1/bans', owner.token, { userId: ann.id })).status).toBe(201)
    expect((await redeem(other.code, again)).status).toBe(401)
    expect(await usesOf(other)).toBe(0)
    await mode('open')
  })

  test('of which there is one use left goes to one of many who come back at once', async () => {
    const people = await Promise.all(['b1', 'b2', 'b3', 'b4'].map((name) => it.register(name)))
    for (const { id } of people) await kick(id)
    await mode('invite')
    const made = await invite({ maxUses: 1 })
    const tokens = await Promise.all(['b1', 'b2', 'b3', 'b4'].map((name) => it.login(name)))
    const answers = await Promise.all(tokens.map((token) => redeem(made.code, token)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 410, 410, 410])
    expect(await usesOf(made)).toBe(1)
    await mode('open')
  })
})

describe('somebody who deletes their account', () => {
  const MARKS = {
    username: 'Mark-er1',
    email: 'mark.er2@example.org',
    displayName: 'Mark Er3',
    nickname: 'Mark Er4',
    status: 'mark er5',
  }

  /** Every row of every table, as text. */
  async function dump(): Promise<[table: string, row: string][]> {
    const tables = (await it.db.execute(
      sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
    )) as unknown as { name: string }[]
    expect(tables.length).toBeGreaterThan(20)
    const rows = await Promise.all(
      tables.map(async ({ name }) => {
        const found = await it.db.execute(sql`select row_to_json(t)::text as row from ${sql.identifier(name)} t`)
        return (found as unknown as { row: string }[]).map(({ row }): [string, string] => [name, row])
      }),
    )
    return rows.flat()
  }
  const placesOf = (rows: [string, string][], text: string) => [
    ...new Set(rows.filter(([, row]) => row.toLowerCase().includes(text.toLowerCase())).map(([table]) => table)),
  ]

  test('leaves none of their words in the database', async () => {
    const { username, email, displayName, nickname, status } = MARKS
    const mark = await it.register(username, { email })
    const patch = { displayName, status: { text: status } }
    expect((await it.call('auth', 'PATCH', '/v1/users/@me', mark.token, patch)).status).toBe(200)
    expect((await it.call('auth', 'PATCH', `/v1/members/${mark.id}`, mark.token, { nickname })).status).toBe(200)
    const made = await it.call<Invite>('system', 'POST', '/v1/invites', mark.token, {})
    await it.call('auth', 'DELETE', '/v1/members/@me', mark.token)
    await it.call('auth', 'PUT', '/v1/members/@me', mark.token, {})
    await it.delivered()
    const before = await dump()
    for (const text of [username, email, displayName, nickname, status])
      expect(placesOf(before, text)).toContain('users')
    expect(placesOf(before, nickname)).toContain('stream_events')

    const leaving = { messages: 'keep', password: PASSWORD }
    expect((await it.call('auth', 'DELETE', '/v1/users/@me', mark.token, leaving)).status).toBe(204)
    await it.delivered()
    // What has been delivered goes within the hour.
    await it.db.execute(sql`delete from auth_outbox`)
    await it.db.execute(sql`delete from system_outbox`)
    const after = await dump()
    for (const text of [...Object.values(MARKS), '192.0.2.77'])
      expect([text, placesOf(after, text)]).toEqual([text, []])
    expect((await it.call('system', 'GET', `/v1/invites/${made.body.code}/preview`)).status).toBe(404)
    await it.register(username, { email })
  })
})
