import { afterAll, beforeAll, expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'
import { auditCatalogue } from '@conntext/contracts'
import type { AuditEvent } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import { changes, elsewhere, type Recorded, readings } from './audit/table.ts'
import { type Operation, operations } from './matrix/document.ts'
import type { Good } from './matrix/requests/good.ts'
import { goodRequest } from './matrix/requests.ts'
import { type Scene, startScene } from './matrix/scene.ts'
import { send } from './matrix/send.ts'

/**
 * The catalogue of audited actions against the routes: every operation of the OpenAPI document is carried out once, and
 * what the trail then has of that request is what audit/table.ts says, no more and no less. A new operation fails here
 * until it says what it leaves behind.
 */
const MINUTES = 300_000
const USER_AGENT = 'somebody/1.0'
const REASON = 'because of a test'
const REQUEST_ID = 'x-request-id'

const isReading = ({ method }: Operation): boolean => method === 'GET' || method === 'HEAD'
const ROOT = fileURLToPath(new URL('..', import.meta.url))

let scene: Scene
const began = new Date(Date.now() - 1_000)

beforeAll(async () => {
  scene = await startScene()
}, MINUTES)
afterAll(() => scene?.[Symbol.asyncDispose](), MINUTES)

const actionsOf = (recorded: Recorded | undefined): string[] =>
  recorded === undefined || 'none' in recorded ? [] : [...recorded]

/** Requests that do something that is worth a record, where a good one may as well do nothing. */
const particular: Record<string, (scene: Scene) => Promise<Good>> = {
  async endOtherSessions({ inviteCode, login, name, register }) {
    const person = await register(name('roaming'), { inviteCode })
    await login(person)
    return { as: person }
  },
  async deleteMessage({ call, channels, member }) {
    const { id } = await call('POST', `/v1/channels/${channels.general.id}/messages`, {
      token: member.token,
      body: { content: 'mine' },
    })
    return { path: { channelId: channels.general.id, messageId: id } }
  },
  async pinMessage({ call, channels, owner }) {
    const { id } = await call('POST', `/v1/channels/${channels.general.id}/messages`, {
      token: owner.token,
      body: { content: 'not pinned yet' },
    })
    return { path: { channelId: channels.general.id, messageId: id } }
  },
  async removeReaction({ call, channels, member, messages }) {
    const path = { channelId: channels.general.id, messageId: messages.general.id, emoji: '👎', userId: member.id }
    const address = `/v1/channels/${path.channelId}/messages/${path.messageId}/reactions/${encodeURIComponent(path.emoji)}`
    await call('PUT', address, { token: member.token })
    return { path }
  },
  openConversation: async ({ manager, member }) => ({ body: { userIds: [manager.id, member.id], name: 'New' } }),
  updateContactSettings: async () => ({ body: { dmsFrom: 'nobody' } }),
  async updateMember({ newBot, roles }) {
    return { path: { id: (await newBot()).id }, body: { nickname: 'Nick', roleIds: [roles.members.id] } }
  },
}

/** Somebody who may do everything and has read nothing: who reads on within a minute is on record already. */
async function reader({ call, inviteCode, name, owner, register, roles }: Scene) {
  const person = await register(name('reader'), { inviteCode })
  await call('PUT', `/v1/members/${person.id}/roles/${roles.chief.id}`, { token: owner.token })
  return person
}

async function carryOut(operation: Operation): Promise<string> {
  const { as, ...special } = (await particular[operation.id]?.(scene)) ?? {}
  const good = particular[operation.id]
    ? { path: {}, query: {}, token: (as ?? scene.owner).token, ...special }
    : await goodRequest(operation, scene)
  if (isReading(operation)) good.token = (await reader(scene)).token
  const headers = { 'user-agent': USER_AGENT, 'x-audit-reason': REASON, ...good.headers }
  const answer = await send(scene.server.url, operation.method, operation.path, { ...good, headers })
  if (answer.status >= 400) throw new Error(`${operation.id}: ${answer.status} ${answer.text}`)
  return answer.headers.get(REQUEST_ID)!
}

/** The trail since the test began, by the request that each event is about. */
async function trail(): Promise<Map<string, AuditEvent[]>> {
  const events: AuditEvent[] = []
  for (let cursor = ''; ; ) {
    const page = await scene.call<{ items: AuditEvent[]; nextCursor: string | null }>(
      'GET',
      `/v1/audit/events?limit=100&from=${began.toISOString()}${cursor}`,
      { token: scene.head.token },
    )
    events.push(...page.items)
    if (page.nextCursor === null) return Map.groupBy(events, ({ requestId }) => requestId ?? '')
    cursor = `&cursor=${page.nextCursor}`
  }
}

// Done by another service on behalf of the one that was asked: from where is told by that one's event.
const ON_BEHALF = new Set(['invite.redeemed', 'messages.deletedByModerator'])
// What would tell of an account that is deleted is erased with it.
const ERASING = new Set(['deleteBot', 'deleteOwnUser'])

/** What an event of somebody who asked lacks of who it was, from where, and why. */
function lacks({ id, permission }: Operation, { action, actor, reason, outcome }: AuditEvent): string[] {
  const isWhole = !ON_BEHALF.has(action) && !ERASING.has(id)
  const faults = [
    actor.kind === 'system' && 'a person',
    actor.kind !== 'anonymous' && actor.id === null && 'actor',
    isWhole && permission !== 'public' && actor.sessionId === null && 'session',
    isWhole && actor.address === null && 'address',
    isWhole && actor.userAgent !== USER_AGENT && 'user agent',
    isWhole && reason !== REASON && 'reason',
    outcome !== 'done' && 'outcome',
  ]
  return faults.filter((fault) => fault !== false).map((fault) => `${id}: ${action}: ${fault}`)
}

test(
  'whoever is refused for want of a permission is on record, with what was asked for',
  async () => {
    const refused = new Map<string, Operation>()
    for (const operation of operations) {
      if (isReading(operation) || ['public', 'member', 'account', 'self'].includes(operation.permission)) continue
      const good = await goodRequest(operation, scene)
      const { token } = scene.stranger
      const answer = await send(scene.server.url, operation.method, operation.path, { ...good, token })
      const isRefused = answer.status === 403 && answer.text.includes('"access.forbidden"')
      if (isRefused) refused.set(answer.headers.get(REQUEST_ID)!, operation)
    }
    expect(refused.size).toBeGreaterThan(40)
    const all = await eventually(async () => {
      const found = await trail()
      return [...refused.keys()].every((id) => found.has(id)) ? found : undefined
    }, 60_000).catch(trail)
    const faults = [...refused].flatMap(([id, operation]) => {
      const [event, ...more] = all.get(id) ?? []
      const isRight =
        more.length === 0 &&
        event?.action === 'access.refused' &&
        event.outcome === 'refused' &&
        event.actor.id === scene.stranger.id &&
        event.target.id?.startsWith(`${operation.method} /v1/`) &&
        typeof event.data.permission === 'string'
      return isRight ? [] : [`${operation.id}: ${JSON.stringify(event)}`]
    })
    expect(faults).toEqual([])
  },
  MINUTES,
)

test(
  'every operation leaves in the audit trail what the table says, by whom, from where and why',
  async () => {
    const asked = new Map<Operation, string>()
    const last = new Set(['transferOwnership'])
    const inOrder = operations.toSorted((a, b) => Number(last.has(a.id)) - Number(last.has(b.id)))
    for (const operation of inOrder) {
      if (isReading(operation) && !readings[operation.id]) continue
      asked.set(operation, await carryOut(operation))
    }
    const expected = new Map(
      [...asked].map(([{ id }, requestId]) => [requestId, actionsOf(changes[id] ?? readings[id])] as const),
    )
    // Each service's events come in their order: once the last one's are there, whatever came before is, too.
    const found = await eventually(async () => {
      const all = await trail()
      return [...expected].every(([id, actions]) => (all.get(id)?.length ?? 0) >= actions.length) ? all : undefined
    }, 60_000).catch(trail)
    const seen = Object.fromEntries(
      [...asked].map(([{ id }, requestId]) => [id, (found.get(requestId) ?? []).map(({ action }) => action).sort()]),
    )
    const told = Object.fromEntries(
      [...asked.keys()].map(({ id }) => [id, actionsOf(changes[id] ?? readings[id]).sort()]),
    )
    expect(seen).toEqual(told)
    const about = [...asked].flatMap(([operation, requestId]) =>
      (found.get(requestId) ?? []).flatMap((event) => lacks(operation, event)),
    )
    expect(about).toEqual([])
  },
  MINUTES,
)

const names = (record: Record<string, unknown>): string[] => Object.keys(record).sort()

test('the table has every operation that may change something, and no other', () => {
  expect(names(changes)).toEqual(
    operations
      .filter((one) => !isReading(one))
      .map(({ id }) => id)
      .sort(),
  )
})

test('every action of the catalogue is brought about by an operation, or said when it is', () => {
  const byOperations = [...Object.values(changes), ...Object.values(readings)].flatMap(actionsOf)
  const catalogue = Object.values(auditCatalogue).flatMap(({ declarations }) => Object.keys(declarations))
  expect([...new Set([...byOperations, ...names(elsewhere)])].sort()).toEqual([...new Set(catalogue)].sort())
  expect(names(elsewhere).filter((action) => byOperations.includes(action))).toEqual([])
})

const sourceOf = async (pattern: string): Promise<string> => {
  const files = [...new Bun.Glob(pattern).scanSync(ROOT)].filter((path) => !path.includes('node_modules'))
  return (await Promise.all(files.map((path) => Bun.file(`${ROOT}/${path}`).text()))).join('\n')
}

test('what no operation brings about is recorded by its service, and looked for by a test', async () => {
  const suites = ['apps/*/test/**/*.test.ts', 'packages/http/test/**/*.test.ts', 'tests/[!a]*.test.ts']
  const tests = (await Promise.all(suites.map(sourceOf))).join('\n')
  // What is refused is recorded in the same way by all services.
  const shared = await sourceOf('packages/http/src/**/*.ts')
  const faults: string[] = []
  for (const [service, { declarations }] of Object.entries(auditCatalogue)) {
    const source = shared + (await sourceOf(`apps/${service}/src/**/*.ts`))
    for (const action of Object.keys(declarations)) {
      if (!elsewhere[action]) continue
      if (!source.includes(`'${action}'`)) faults.push(`${service} never records ${action}`)
      if (!tests.includes(action)) faults.push(`no test looks for ${action}`)
    }
  }
  expect(faults).toEqual([])
})
