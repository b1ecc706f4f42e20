import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { StreamAppend, User } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { type System, startSystem } from './support/system.ts'

let system: System
beforeAll(async () => {
  system = await startSystem()
})
afterAll(() => system[Symbol.asyncDispose]())

const append = (fields: Partial<StreamAppend> = {}): StreamAppend => ({
  id: newId(),
  stream: 'server',
  type: 'role.created',
  at: '2026-01-01T00:00:00.000Z',
  data: { id: newId() },
  ...fields,
})

test("another service's events get their numbers, are published, and are left out when repeated", async () => {
  const userId = newId()
  const mine = [append({ stream: `user:${userId}` }), append({ stream: `user:${userId}` })]
  await Promise.all([1, 2, 3, 4].map(() => system.port.appendEvents({ events: [...mine, mine[0]!] })))
  const events = await system.streamOf(`user:${userId}`)
  expect(events).toMatchObject([
    { seq: 1, t: 'role.created', stream: 'user', at: mine[0]!.at, d: mine[0]!.data },
    { seq: 2, d: mine[1]!.data },
  ])
  expect(events).toHaveLength(2)
})

test('fifty batches at once make a stream without gaps', async () => {
  const stream = `user:${newId()}`
  await Promise.all(
    Array.from({ length: 50 }, () => system.port.appendEvents({ events: [append({ stream }), append()] })),
  )
  const { heads } = await system.port.streamHeads({ streams: [stream, 'server', `user:${newId()}`] })
  expect(heads[stream]).toBe(50)
  expect(Object.values(heads)).toContain(0)
  expect((await system.streamOf(stream)).map((event) => event.seq)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  const page = await system.port.streamEvents({ stream, after: 48, limit: 500 })
  expect(page).toMatchObject({ events: [{ seq: 49 }, { seq: 50 }], truncated: false })
  expect(system.heard.map((event) => event.seq).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 50 }, (_, i) => i + 1),
  )
})

test("a channel's stream, and an id that cannot be kept, are refused for good", async () => {
  const refused = { status: 422 }
  const foreign = append({ stream: `channel:${newId()}` })
  await expect(system.port.appendEvents({ events: [foreign] })).rejects.toMatchObject(refused)
  await expect(system.port.appendEvents({ events: [append({ id: 'x' })] })).rejects.toMatchObject(refused)
  await expect(system.port.appendEvents({ events: [append({ stream: 'elsewhere' })] })).rejects.toMatchObject(refused)
})

test("what somebody who deletes their account was called leaves the server's log, and nobody else's does", async () => {
  const person = (username: string): User => ({
    id: newId(),
    kind: 'user',
    username,
    displayName: `${username} body`,
    avatarId: null,
    status: null,
    isDeleted: false,
    createdAt: '2026-01-01T00:00:00.000Z',
  })
  const [ann, bob] = [person('ann'), person('bob')]
  // Bob's name has Ann's id in it.
  bob.displayName = ann.id
  const member = { nickname: 'nick', roleIds: [], timedOutUntil: null }
  const told = [ann, bob].flatMap((user) => [
    append({ type: 'member.joined', data: { user, roleIds: [], joinedAt: user.createdAt } }),
    append({ type: 'member.updated', data: { userId: user.id, ...member } }),
    append({ type: 'user.updated', data: user }),
  ])
  await system.port.appendEvents({ events: told })
  const gone = { ...person('deleted-user'), id: ann.id, displayName: null, isDeleted: true }
  const before = await system.streamOf('server')
  await system.port.appendEvents({ events: [append({ type: 'user.updated', data: gone })] })
  const after = await system.streamOf('server')
  expect(after.map(({ seq }) => seq)).toEqual([...before.map(({ seq }) => seq), before.length + 1])
  const [joined, updated, changed, ...bobs] = after.slice(-7, -1)
  expect(joined).toMatchObject({ t: 'member.joined', at: told[0]!.at, d: { user: gone, roleIds: [] } })
  expect(updated).toMatchObject({ t: 'member.updated', d: { userId: ann.id, nickname: null } })
  expect(changed).toMatchObject({ t: 'user.updated', d: gone })
  expect(bobs).toEqual(before.slice(-3))
})
