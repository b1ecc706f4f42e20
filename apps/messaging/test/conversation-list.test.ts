import { expect, test } from 'bun:test'
import { type Conversation, MAX_GROUPS, type Page, userStream } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { type Member, type Stack, startMessaging } from './stack.ts'

const open = (stack: Stack, member: Member, body: object) => stack.json<Conversation>('POST', '/v1/dms', member, body)

test('one’s other devices hear of a conversation that is closed, and of one that is brought back', async () => {
  await using stack = await startMessaging()
  const [anna, ben] = [await stack.authority.member(), await stack.authority.member()]
  const { id } = (await open(stack, anna, { userIds: [ben.userId] })).body
  await stack.send(id, anna, { content: 'hello' })
  const close = () => stack.json('DELETE', `/v1/dms/${id}`, ben)
  expect((await close()).status).toBe(204)
  expect((await close()).status).toBe(204)
  const again = await open(stack, ben, { userIds: [anna.userId] })
  await open(stack, ben, { userIds: [anna.userId] })
  await eventually(() => stack.told.length === 2)
  const stream = userStream(ben.userId)
  expect(stack.told).toMatchObject([
    { stream, type: 'conversation.closed', data: { id, lastSeq: 1 } },
    { stream, type: 'conversation.reopened', data: again.body },
  ])
})

test('that an API token closes nothing it is not for is on record', async () => {
  await using stack = await startMessaging()
  const [anna, ben] = [await stack.authority.member(), await stack.authority.member()]
  const { id } = (await open(stack, anna, { userIds: [ben.userId] })).body
  const { token } = stack.authority.apiToken(anna.userId, ['channel.view'])
  const answer = await stack.json<{ code: string }>('DELETE', `/v1/dms/${id}`, { ...anna, token })
  expect([answer.status, answer.body.code]).toEqual([403, 'access.forbidden'])
  const refusal = await eventually(() => stack.audited.find(({ action }) => action === 'access.refused'))
  expect(refusal).toMatchObject({
    actor: { id: anna.userId },
    target: { kind: 'route', id: 'DELETE /v1/dms/:channelId' },
    data: { permission: 'message.send' },
  })
})

test('nobody is in more groups than one can have, whoever puts them there', async () => {
  await using stack = await startMessaging()
  const people = await Promise.all(Array.from({ length: 3 }, () => stack.authority.member()))
  const [anna, ben, cleo] = people as [Member, Member, Member]
  const first = (await open(stack, anna, { userIds: [ben.userId], name: 'first' })).body
  await stack.sql`insert into conversations (id, kind, created_at, active_at)
    select gen_random_uuid(), 'group', now(), now() from generate_series(2, ${MAX_GROUPS}::int)`
  await stack.sql`insert into conversation_participants (conversation_id, user_id, joined_at)
    select id, ${ben.userId}, now() from conversations where id <> ${first.id}`
  const full = { status: 409, body: { code: 'conversation.tooMany' } }
  expect(await open(stack, cleo, { userIds: [ben.userId, anna.userId] })).toMatchObject(full)
  expect(await open(stack, ben, { userIds: [cleo.userId], name: 'one more' })).toMatchObject(full)
  const other = (await open(stack, anna, { userIds: [cleo.userId], name: 'other' })).body
  const put = () => stack.json<Conversation>('PUT', `/v1/dms/${other.id}/participants/${ben.userId}`, anna)
  expect(await put()).toMatchObject(full)
  // Two people may talk nevertheless, and who leaves a group has room again.
  expect(await open(stack, ben, { userIds: [cleo.userId] })).toMatchObject({ status: 201 })
  expect((await stack.json('DELETE', `/v1/dms/${first.id}/participants/${ben.userId}`, ben)).status).toBe(204)
  // Both have looked, where they look, before either is in.
  const held = await stack.sql.reserve()
  await held`begin`
  await held`lock table conversation_participants in share mode`
  const asked = [put(), open(stack, cleo, { userIds: [ben.userId], name: 'at the same time' })]
  const waiting = () => stack.sql`select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()`
  await eventually(async () => (await waiting()).length >= asked.length)
  await held`commit`
  held.release()
  const answers = await Promise.all(asked)
  expect(answers.map(({ status }) => status < 300).sort()).toEqual([false, true])
  expect(answers).toContainEqual(expect.objectContaining({ status: 409 }))
})

test('a conversation is closed after what is just being written there, or is back with it', async () => {
  await using stack = await startMessaging()
  const [anna, ben] = [await stack.authority.member(), await stack.authority.member()]
  const { id } = (await open(stack, anna, { userIds: [ben.userId] })).body
  await stack.send(id, anna, { content: 'hello' })
  // Whoever writes has looked at who has closed it; then it takes a while.
  const held = await stack.sql.reserve()
  await held`begin`
  await held`select from streams where name = ${`channel:${id}`} for update`
  const closed = stack.json('DELETE', `/v1/dms/${id}`, ben)
  let isClosed = false
  void closed.then(() => {
    isClosed = true
  })
  const waiting = () => stack.sql`select from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()`
  await eventually(async () => isClosed || (await waiting()).length === 1)
  await held`update streams set last_seq = 2 where name = ${`channel:${id}`}`
  await held`commit`
  held.release()
  expect((await closed).status).toBe(204)
  // Else it were gone from the list with something in it that nobody has seen.
  await eventually(() => stack.told.length === 1)
  expect(stack.told).toMatchObject([{ type: 'conversation.closed', data: { id, lastSeq: 2 } }])
})

test('who is taken out of a group while their list is read sees it with themselves in it, or not at all; pages go on', async () => {
  await using stack = await startMessaging()
  const [anna, ben] = await Promise.all([stack.authority.member(), stack.authority.member()])
  const groups = await Promise.all(
    Array.from({ length: 6 }, async (_, index) => {
      const answer = await stack.json<Conversation>('POST', '/v1/dms', anna, {
        userIds: [ben.userId],
        name: `G${index}`,
      })
      return answer.body.id
    }),
  )
  // The first is the newest, and the one that comes and goes.
  const path = `/v1/dms/${groups[0]!}/participants/${ben.userId}`
  const others = groups.slice(1).sort()
  const ended = new AbortController()
  const moving = (async () => {
    while (!ended.signal.aborted) for (const method of ['DELETE', 'PUT']) await stack.json(method, path, anna)
  })()
  const page = async (cursor: string | null) =>
    (await stack.json<Page<Conversation>>('GET', `/v1/dms?limit=2${cursor ? `&cursor=${cursor}` : ''}`, ben)).body
  const readAll = async () => {
    const seen = new Set<string>()
    let cursor: string | null = null
    do {
      const { items, nextCursor }: Page<Conversation> = await page(cursor)
      for (const { id, participants } of items) {
        seen.add(id)
        expect(participants.map(({ userId }) => userId)).toContain(ben.userId)
      }
      cursor = nextCursor
    } while (cursor)
    expect([...seen].filter((id) => id !== groups[0]).sort()).toEqual(others)
  }
  try {
    for (let round = 0; round < 40; round += 1) await readAll()
  } finally {
    ended.abort()
    await moving
  }
}, 60_000)
