import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Conversation, type ConversationNews, type Page, type Permission, subjects } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { createMessagingService } from '../src/service.ts'
import { type Member, onBehalf, type Stack, startMessaging } from './stack.ts'

let stack: Stack
beforeAll(async () => {
  stack = await startMessaging()
})
afterAll(async () => {
  await stack[Symbol.asyncDispose]()
})

const open = (member: Member, body: object) => stack.json<Conversation>('POST', '/v1/dms', member, body)
const read = (member: Member, id: string) => stack.json<Conversation>('GET', `/v1/dms/${id}`, member)
const list = (member: Member, query = '') => stack.json<Page<Conversation>>('GET', `/v1/dms${query}`, member)
const people = ({ participants }: Conversation) => participants.map((one) => one.userId)
const members = (count: number) => Promise.all(Array.from({ length: count }, () => stack.authority.member()))
const participant = (id: string, userId: string) => `/v1/dms/${id}/participants/${userId}`

/** A group of the first one's, with the others. */
async function group(...everybody: Member[]): Promise<Conversation> {
  const userIds = everybody.slice(1).map((one) => one.userId)
  const answer = await open(everybody[0]!, { userIds, name: 'Group' })
  expect(answer.status).toBe(201)
  return answer.body
}

async function pair(one: Member, other: Member): Promise<Conversation> {
  return (await open(one, { userIds: [other.userId] })).body
}

const withScopes = (member: Member, scopes: Permission[]): Member => ({
  ...member,
  token: stack.authority.apiToken(member.userId, scopes).token,
})

test('what can’t be an id is, like one of nothing, no channel', async () => {
  const anna = await stack.authority.member()
  for (const id of ['nope', '0', "'%3B--", '%F0%9F%A6%84', 'x'.repeat(300), newId().toUpperCase(), newId()]) {
    for (const path of [`/v1/dms/${id}`, `/v1/channels/${id}/messages`, `/v1/channels/${id}/pins`]) {
      const { status, body } = await stack.json<{ code: string }>('GET', path, anna)
      expect([path, status, body.code]).toEqual([path, 404, 'channel.notFound'])
    }
  }
})

describe('opening', () => {
  test('one other person and no name: a conversation of two, which is found again from both sides', async () => {
    const [anna, ben] = await members(2)
    const made = await open(anna!, { userIds: [ben!.userId] })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({ kind: 'oneToOne', name: null, ownerId: null, lastSeq: 0 })
    expect(people(made.body).sort()).toEqual([anna!.userId, ben!.userId].sort())
    for (const [member, other] of [
      [anna!, ben!],
      [ben!, anna!],
    ] as const) {
      const again = await open(member, { userIds: [other.userId] })
      expect([again.status, again.body.id]).toEqual([200, made.body.id])
    }
  })

  test('from both sides at once, however often: there is one', async () => {
    const [anna, ben] = await members(2)
    const asks = Array.from({ length: 12 }, (_, index) =>
      index % 2 === 0 ? open(anna!, { userIds: [ben!.userId] }) : open(ben!, { userIds: [anna!.userId] }),
    )
    const answers = await Promise.all(asks)
    expect(new Set(answers.map((one) => one.body.id)).size).toBe(1)
    expect(answers.map((one) => one.status).sort()).toEqual([...Array(11).fill(200), 201])
    const events = await eventually(() => {
      const found = stack.audited.filter(
        (one) => one.action === 'conversation.created' && one.target.id === answers[0]!.body.id,
      )
      return found.length > 0 ? found : undefined
    })
    expect(events).toHaveLength(1)
  })

  test('with a name, or with more than one: a group, which is its maker’s', async () => {
    const [anna, ben, cleo] = await members(3)
    const named = await open(anna!, { userIds: [ben!.userId], name: 'Two of us' })
    expect(named.body).toMatchObject({ kind: 'group', name: 'Two of us', ownerId: anna!.userId })
    const nameless = await open(anna!, { userIds: [ben!.userId, cleo!.userId] })
    expect(nameless.body).toMatchObject({ kind: 'group', name: null, ownerId: anna!.userId })
    expect(people(nameless.body)).toHaveLength(3)
  })

  test('a group’s nonce makes a repeat harmless, unless one has left it since', async () => {
    const [anna, ben] = await members(2)
    const body = { userIds: [ben!.userId], name: 'Once', nonce: 'abc' }
    const answers = await Promise.all([open(anna!, body), open(anna!, body), open(anna!, body)])
    expect(new Set(answers.map((one) => one.body.id)).size).toBe(1)
    expect((await open(ben!, { ...body, userIds: [anna!.userId] })).body.id).not.toBe(answers[0]!.body.id)
    await stack.json('DELETE', participant(answers[0]!.body.id, anna!.userId), anna)
    expect((await open(anna!, body)).body.code).toBe('conversation.left')
  })

  test('ten people make a group, eleven do not; neither does oneself alone', async () => {
    const everybody = await members(11)
    const ids = everybody.map((one) => one.userId)
    const [anna] = everybody
    expect((await open(anna!, { userIds: ids.slice(1, 10) })).body.participants).toHaveLength(10)
    expect((await open(anna!, { userIds: ids.slice(1, 11) })).status).toBe(422)
    expect((await open(anna!, { userIds: [anna!.userId] })).body.code).toBe('conversation.withOneself')
    expect((await open(anna!, { userIds: [anna!.userId, ids[1]] })).body.code).toBe('conversation.withOneself')
    expect((await open(anna!, { userIds: [ids[1], ids[1]] })).status).toBe(422)
    expect((await open(anna!, { userIds: [] })).status).toBe(422)
    expect((await open(anna!, { userIds: [ids[1]], name: ' ' })).status).toBe(422)
    expect((await open(anna!, { userIds: [ids[1]], name: 'a\0b' })).body.code).toBe('conversation.unstorable')
    expect((await open(anna!, { userIds: [ids[1]], extra: 1 })).status).toBe(422)
  })

  test.each(['banned', 'left', 'deleted'] as const)('nobody who is %s is written to first', async (standing) => {
    const [anna, ben] = await members(2)
    await stack.authority.setGrant(ben!.userId, { standing })
    const answer = await open(anna!, { userIds: [ben!.userId] })
    expect([answer.status, answer.body.code]).toEqual([422, 'conversation.userNotFound'])
    expect(answer.body.errors).toMatchObject([{ path: '/body/userIds/0' }])
  })

  test('an id that is nobody’s is no member; bots are', async () => {
    const [anna, bot] = await members(2)
    await stack.authority.setGrant(bot!.userId, { kind: 'bot' })
    expect((await open(anna!, { userIds: [newId()] })).body.code).toBe('conversation.userNotFound')
    expect((await open(anna!, { userIds: [bot!.userId] })).status).toBe(201)
  })

  test('it takes a login, or an API token that may write', async () => {
    const [anna, ben] = await members(2)
    const body = { userIds: [ben!.userId] }
    expect((await stack.json('POST', '/v1/dms', undefined, body)).status).toBe(401)
    expect((await open(withScopes(anna!, ['channel.view']), body)).status).toBe(403)
    expect((await open(withScopes(anna!, ['message.send']), body)).status).toBe(201)
  })

  test('a role that may not write in channels may write here', async () => {
    const { snapshot } = stack.authority
    const everyone = snapshot.roles.find((role) => role.isEveryone)!
    const before = everyone.permissions
    everyone.permissions = []
    await stack.authority.changed()
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    expect((await stack.send(id, anna!, { content: 'hello' })).status).toBe(201)
    everyone.permissions = before
    await stack.authority.changed()
  })
})

describe('the list', () => {
  test('has the newest activity first, in pages', async () => {
    const [anna, ...others] = await members(6)
    const ids: string[] = []
    for (const other of others) {
      const { id } = await pair(anna!, other)
      await stack.send(id, anna!, { content: 'hello' })
      ids.unshift(id)
    }
    await stack.send(ids[3]!, others[1]!, { content: 'again' })
    const expected = [ids[3], ids[0], ids[1], ids[2], ids[4]]
    const first = await list(anna!, '?limit=3')
    expect(first.body.items.map((one) => one.id)).toEqual(expected.slice(0, 3) as string[])
    expect(first.body.items[0]!.lastSeq).toBe(2)
    const second = await list(anna!, `?limit=3&cursor=${first.body.nextCursor}`)
    expect(second.body.items.map((one) => one.id)).toEqual(expected.slice(3) as string[])
    expect(second.body.nextCursor).toBeNull()
    expect((await list(anna!, '?cursor=nonsense')).status).toBe(422)
  })

  test('whoever is written to sees nothing before there is something to read', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    expect((await list(anna!)).body.items).toHaveLength(1)
    expect((await list(ben!)).body.items).toHaveLength(0)
    await stack.send(id, anna!, { content: 'hello' })
    expect((await list(ben!)).body.items).toMatchObject([{ id, lastSeq: 1 }])
  })

  test('a conversation of two that is closed is back with the next message, for oneself alone', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    await stack.send(id, anna!, { content: 'hello' })
    expect((await stack.json('DELETE', `/v1/dms/${id}`, ben)).status).toBe(204)
    expect((await list(ben!)).body.items).toHaveLength(0)
    expect((await list(anna!)).body.items).toHaveLength(1)
    expect((await read(ben!, id)).status).toBe(200)
    await stack.send(id, anna!, { content: 'still there?' })
    expect((await list(ben!)).body.items).toHaveLength(1)
    await stack.json('DELETE', `/v1/dms/${id}`, ben)
    await open(ben!, { userIds: [anna!.userId] })
    expect((await list(ben!)).body.items).toHaveLength(1)
  })

  test('a group is not closed', async () => {
    const [anna, ben] = await members(2)
    const { id } = await group(anna!, ben!)
    const answer = await stack.json('DELETE', `/v1/dms/${id}`, anna)
    expect([answer.status, answer.body.code]).toEqual([409, 'conversation.isAGroup'])
  })

  test('it takes a login, or an API token that may look', async () => {
    const [anna] = await members(1)
    expect((await stack.json('GET', '/v1/dms')).status).toBe(401)
    expect((await list(withScopes(anna!, ['message.send']))).status).toBe(403)
    expect((await list(withScopes(anna!, ['channel.view']))).status).toBe(200)
  })
})

describe('privacy', () => {
  test('what two people say is theirs: everybody else gets the 404 of what is not there, whatever they are', async () => {
    const [anna, ben, outsider] = await members(3)
    const owner = await stack.authority.member({ owner: true })
    const administrator = await stack.authority.member({ permissions: ['administrator'] })
    const moderator = await stack.authority.member({
      permissions: ['message.manage', 'channel.manage', 'channel.view'],
    })
    const { id } = await pair(anna!, ben!)
    const file = (await stack.upload(anna!, 'a secret', '?filename=secret.txt')).body
    const message = (await stack.send(id, anna!, { content: 'between us', mediaIds: [file.id] })).body
    expect((await stack.history(id, ben!)).body.items).toMatchObject([{ content: 'between us' }])
    expect((await stack.json('GET', `/v1/media/${file.id}`, ben)).status).toBe(200)
    const found = (member: Member) => stack.json<Page<object>>('GET', '/v1/search?q=between', member)
    expect((await found(ben!)).body.items).toHaveLength(1)

    const emoji = encodeURIComponent('👍')
    const attempts: [string, string, object?][] = [
      ['GET', `/v1/dms/${id}`],
      ['PATCH', `/v1/dms/${id}`, { name: 'Mine' }],
      ['DELETE', `/v1/dms/${id}`],
      ['PUT', participant(id, outsider!.userId)],
      ['DELETE', participant(id, anna!.userId)],
      ['GET', `/v1/channels/${id}/messages`],
      ['POST', `/v1/channels/${id}/messages`, { content: 'me too' }],
      ['GET', `/v1/channels/${id}/messages/${message.id}`],
      ['PATCH', `/v1/channels/${id}/messages/${message.id}`, { content: 'other words' }],
      ['DELETE', `/v1/channels/${id}/messages/${message.id}`],
      ['GET', `/v1/channels/${id}/messages/${message.id}/revisions`],
      ['POST', `/v1/channels/${id}/messages/bulk-delete`, { messageIds: [message.id] }],
      ['PUT', `/v1/channels/${id}/messages/${message.id}/reactions/${emoji}`],
      ['GET', `/v1/channels/${id}/messages/${message.id}/reactions/${emoji}`],
      ['DELETE', `/v1/channels/${id}/messages/${message.id}/reactions/${emoji}`],
      ['DELETE', `/v1/channels/${id}/messages/${message.id}/reactions/${emoji}/${anna!.userId}`],
      ['DELETE', `/v1/channels/${id}/messages/${message.id}/reactions`],
      ['PUT', `/v1/channels/${id}/messages/${message.id}/pin`],
      ['DELETE', `/v1/channels/${id}/messages/${message.id}/pin`],
      ['GET', `/v1/channels/${id}/pins`],
      ['PUT', `/v1/channels/${id}/read`, { seq: 1 }],
    ]
    const answers = async (member: Member, channelId: string) =>
      Promise.all(
        attempts.map(async ([method, path, body]) => {
          const { status, body: problem } = await stack.json(method, path.replace(id, channelId), member, body)
          const { requestId: _, ...rest } = problem
          return { status, rest }
        }),
      )
    for (const member of [outsider!, owner, administrator, moderator]) {
      const given = await answers(member, id)
      expect(given.map((one) => one.status)).toEqual(attempts.map(() => 404))
      expect(given).toEqual(await answers(member, newId()))
      for (const path of [`/v1/media/${file.id}`, `/v1/media/${file.id}/content`]) {
        expect((await stack.json('GET', path, member)).status).toBe(404)
      }
      const [outcome] = await stack.port.sendMessages({
        caller: onBehalf(member),
        sends: [{ channelId: id, message: { content: 'me too' } }],
      })
      expect(outcome).toMatchObject({ problem: { code: 'channel.notFound' } })
      expect((await list(member)).body.items).toEqual([])
      expect((await found(member)).body.items).toEqual([])
    }
    expect((await stack.history(id, anna!)).body.items).toHaveLength(1)
  })

  test('participants react and pin here, whatever their roles say', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    const message = (await stack.send(id, anna!, { content: 'hello' })).body
    const path = `/v1/channels/${id}/messages/${message.id}`
    expect((await stack.json('PUT', `${path}/reactions/${encodeURIComponent('👍')}`, ben)).status).toBeLessThan(300)
    expect((await stack.json('PUT', `${path}/pin`, ben)).status).toBeLessThan(300)
    const pins = await stack.json<Page<object>>('GET', `/v1/channels/${id}/pins`, anna)
    expect(pins.body.items).toMatchObject([{ id: message.id, reactions: [{ emoji: '👍', count: 1 }] }])
  })

  test('nobody deletes what the other said', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    const message = (await stack.send(id, anna!, { content: 'hello' })).body
    const path = `/v1/channels/${id}/messages/${message.id}`
    expect((await stack.json('DELETE', path, ben)).status).toBe(403)
    expect((await stack.json('DELETE', path, anna)).status).toBe(204)
  })

  test('an API token does here what its scopes say', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    const looking = withScopes(anna!, ['channel.view', 'message.history'])
    expect((await stack.history(id, looking)).status).toBe(200)
    expect((await stack.send(id, looking, { content: 'hello' })).status).toBe(403)
    expect((await stack.history(id, withScopes(anna!, ['invite.create']))).status).toBe(404)
    expect((await stack.json('DELETE', `/v1/dms/${id}`, looking)).status).toBe(403)
  })

  test('who is timed out reads and is silent; who is banned or has left gets nothing', async () => {
    const [anna, ben, cleo] = await members(3)
    const { id } = await pair(anna!, ben!)
    const shared = await group(anna!, ben!)
    await stack.authority.setGrant(anna!.userId, { timedOutUntil: '2999-01-01T00:00:00.000Z' })
    expect((await stack.history(id, anna!)).status).toBe(200)
    expect((await stack.send(id, anna!, { content: 'hello' })).status).toBe(403)
    expect((await open(anna!, { userIds: [cleo!.userId] })).status).toBe(403)
    expect((await stack.json('PATCH', `/v1/dms/${shared.id}`, anna, { name: 'x' })).status).toBe(403)
    expect((await stack.json('DELETE', participant(shared.id, ben!.userId), anna)).status).toBe(403)
    expect((await stack.json('DELETE', participant(shared.id, anna!.userId), anna)).status).toBe(204)
    await stack.authority.setGrant(ben!.userId, { standing: 'left' })
    expect((await stack.history(id, ben!)).status).toBe(403)
    await stack.authority.setGrant(ben!.userId, { standing: 'banned' })
    expect((await stack.history(id, ben!)).status).toBe(401)
  })

  test('the audit has ids, and no words', async () => {
    const [anna, ben] = await members(2)
    const made = await open(anna!, { userIds: [ben!.userId], name: 'Secret name' })
    await stack.json('PATCH', `/v1/dms/${made.body.id}`, anna, { name: 'Another secret' })
    const events = await eventually(() => {
      const found = stack.audited.filter((one) => one.target.id === made.body.id)
      return found.length === 2 ? found : undefined
    })
    expect(events.map((one) => one.action)).toEqual(['conversation.created', 'conversation.renamed'])
    expect(JSON.stringify(events)).not.toContain('ecret')
  })
})

describe('groups', () => {
  test('any participant renames it and adds others, who read all that was said', async () => {
    const [anna, ben, cleo] = await members(3)
    const { id } = await group(anna!, ben!)
    await stack.send(id, anna!, { content: 'before' })
    const renamed = await stack.json<Conversation>('PATCH', `/v1/dms/${id}`, ben, { name: 'Renamed' })
    expect([renamed.status, renamed.body.name]).toEqual([200, 'Renamed'])
    const added = await stack.json<Conversation>('PUT', participant(id, cleo!.userId), ben)
    expect([added.status, people(added.body)]).toEqual([200, expect.arrayContaining([cleo!.userId])])
    expect((await stack.history(id, cleo!)).body.items).toMatchObject([{ content: 'before' }])
    const again = await stack.json<Conversation>('PUT', participant(id, cleo!.userId), anna)
    expect([again.status, again.body.lastSeq]).toEqual([200, added.body.lastSeq])
    const { events } = await stack.port.streamEvents({ stream: `channel:${id}`, after: 0, limit: 10 })
    expect(events.map(({ frame }) => JSON.parse(frame))).toMatchObject([
      { t: 'message.created' },
      { t: 'conversation.updated', d: { id, name: 'Renamed', participantIds: [anna!.userId, ben!.userId] } },
      { t: 'conversation.updated', d: { participantIds: expect.arrayContaining([cleo!.userId]) } },
    ])
  })

  test('ten at most, also when many add at once', async () => {
    const everybody = await members(14)
    const { id } = await group(...everybody.slice(0, 5))
    const answers = await Promise.all(
      everybody.slice(5).map((one) => stack.json<Conversation>('PUT', participant(id, one.userId), everybody[0])),
    )
    expect(answers.map((one) => one.status).sort()).toEqual([200, 200, 200, 200, 200, 409, 409, 409, 409])
    expect((await read(everybody[0]!, id)).body.participants).toHaveLength(10)
  })

  test('nobody who is gone is added, and nobody to a conversation of two', async () => {
    const [anna, ben, cleo] = await members(3)
    const { id } = await group(anna!, ben!)
    await stack.authority.setGrant(cleo!.userId, { standing: 'banned' })
    expect((await stack.json('PUT', participant(id, cleo!.userId), anna)).body.code).toBe('conversation.memberNotFound')
    expect((await stack.json('PUT', participant(id, newId()), anna)).status).toBe(404)
    const two = await pair(anna!, ben!)
    for (const answer of [
      await stack.json('PUT', participant(two.id, (await stack.authority.member()).userId), anna),
      await stack.json('DELETE', participant(two.id, anna!.userId), anna),
      await stack.json('PATCH', `/v1/dms/${two.id}`, anna, { name: 'x' }),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([409, 'conversation.notAGroup'])
    }
  })

  test('the owner removes others, others themselves; from then on it is not there for them', async () => {
    const [anna, ben, cleo] = await members(3)
    const { id } = await group(anna!, ben!, cleo!)
    expect((await stack.json('DELETE', participant(id, cleo!.userId), ben)).body.code).toBe('conversation.notOwner')
    expect((await stack.history(id, cleo!)).status).toBe(200)
    expect((await stack.json('DELETE', participant(id, cleo!.userId), anna)).status).toBe(204)
    expect((await stack.history(id, cleo!)).status).toBe(404)
    expect((await stack.send(id, cleo!, { content: 'hello?' })).status).toBe(404)
    expect((await stack.json('DELETE', participant(id, cleo!.userId), anna)).body.code).toBe(
      'conversation.notAParticipant',
    )
    expect((await stack.json('DELETE', participant(id, ben!.userId), ben)).status).toBe(204)
    expect((await read(ben!, id)).status).toBe(404)
  })

  test('a message that was on its way when its author was removed is not stored', async () => {
    const [anna, ben] = await members(2)
    const { id } = await group(anna!, ben!)
    // What Ben may do has been looked at; then the stream's lock is somebody else's for a while.
    const lock = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const holding = stack.sql.begin(async (tx) => {
      await tx`insert into streams (name) values (${`channel:${id}`}) on conflict do nothing`
      await tx`select from streams where name = ${`channel:${id}`} for update`
      held.resolve()
      await lock.promise
      await tx`delete from conversation_participants where user_id = ${ben!.userId}`
    })
    await held.promise
    const sending = stack.send(id, ben!, { content: 'one more thing' })
    await eventually(async () => {
      const [row] = await stack.sql`select count(*)::int as waiting from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`
      return row!.waiting > 0
    })
    lock.resolve()
    await holding
    expect((await sending).status).toBe(404)
  })

  test('when its owner leaves it is the next one’s; when nobody is left, it goes with all that was said', async () => {
    const [anna, ben] = await members(2)
    const { id } = await group(anna!, ben!)
    const file = (await stack.upload(anna!, 'a file')).body
    await stack.send(id, anna!, { content: 'words', mediaIds: [file.id] })
    await stack.json('DELETE', participant(id, anna!.userId), anna)
    expect((await read(ben!, id)).body.ownerId).toBe(ben!.userId)
    await stack.json('DELETE', participant(id, ben!.userId), ben)
    await eventually(async () => (await stack.sql`select from conversations where id = ${id}`).length === 0)
    expect(await stack.sql`select from messages where channel_id = ${id}`).toHaveLength(0)
    expect(await stack.sql`select from stream_events where stream = ${`channel:${id}`}`).toHaveLength(0)
    expect((await stack.json('GET', `/v1/media/${file.id}`, anna)).status).toBe(404)
  })

  test('another instance knows at once who has come and who has gone, and where the news was lost, soon', async () => {
    const other = createMessagingService(stack.deps)
    await other.start()
    const [anna, ben, cleo] = await members(3)
    const { id } = await group(anna!, ben!)
    const elsewhere = async (member: Member) =>
      (
        await other.app.handle(
          new Request(`http://localhost/v1/channels/${id}/messages`, {
            headers: { authorization: `Bearer ${member.token}` },
          }),
        )
      ).status
    expect(await elsewhere(cleo!)).toBe(404)
    await stack.json('PUT', participant(id, cleo!.userId), anna)
    expect(await elsewhere(cleo!)).toBe(200)
    await stack.json('DELETE', participant(id, cleo!.userId), anna)
    expect(await elsewhere(cleo!)).toBe(404)
    await other.stop()
  })

  test('the news is published again by the outbox, where the bus was away', async () => {
    const [anna, ben] = await members(2)
    const heard: ConversationNews[] = []
    await stack.bus.subscribe(subjects.conversations, (payload) => heard.push(JSON.parse(payload)))
    const { announce } = stack.bus
    stack.bus.announce = async (subject, payload) => {
      if (subject === subjects.conversations) throw new Error('away')
      return announce(subject, payload)
    }
    const { id } = await group(anna!, ben!)
    expect(heard).toEqual([])
    // This instance knows all the same: whoever is removed now is out when that is answered.
    expect((await stack.history(id, ben!)).status).toBe(200)
    expect((await stack.json('DELETE', participant(id, ben!.userId), anna)).status).toBe(204)
    expect((await stack.history(id, ben!)).status).toBe(404)
    stack.bus.announce = announce
    await eventually(() => heard.some((one) => one.conversation.id === id))
  })
})

describe('somebody who is gone for good', () => {
  test('leaves all groups; what two people said stays with the other, and goes with the second', async () => {
    const [anna, ben, cleo] = await members(3)
    const two = await pair(anna!, ben!)
    const three = await group(anna!, ben!, cleo!)
    await stack.send(two.id, anna!, { content: 'of Anna' })
    await stack.send(two.id, ben!, { content: 'of Ben' })
    await stack.send(three.id, anna!, { content: 'to all' })
    await stack.authority.setGrant(anna!.userId, { standing: 'deleted' })
    // Repeated, as the outbox does.
    for (let time = 0; time < 2; time += 1) await stack.port.userDeleted({ userId: anna!.userId, messages: 'delete' })
    expect((await stack.history(two.id, ben!)).body.items).toMatchObject([{ content: 'of Ben' }])
    expect((await stack.history(three.id, ben!)).body.items).toEqual([])
    const { body } = await read(ben!, three.id)
    expect([body.ownerId, people(body)]).toEqual([ben!.userId, [ben!.userId, cleo!.userId]])
    await stack.port.userDeleted({ userId: ben!.userId, messages: 'keep' })
    await eventually(async () => (await stack.sql`select from conversations where id = ${two.id}`).length === 0)
    expect(await stack.sql`select from messages where channel_id = ${two.id}`).toHaveLength(0)
    expect(people((await read(cleo!, three.id)).body)).toEqual([cleo!.userId])
  })

  test('is in no conversation that is made while they go', async () => {
    const [anna, ben] = await members(2)
    await stack.sql`insert into deleted_authors (user_id) values (${ben!.userId})`
    expect((await open(anna!, { userIds: [ben!.userId] })).body.code).toBe('conversation.userNotFound')
    const { id } = await group(anna!, (await stack.authority.member()) as Member)
    expect((await stack.json('PUT', participant(id, ben!.userId), anna)).body.code).toBe('conversation.memberNotFound')
    expect(await stack.sql`select from conversation_participants where user_id = ${ben!.userId}`).toHaveLength(0)
  })

  test('a ban with deletion takes what they wrote here, too', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    await stack.send(id, anna!, { content: 'rubbish' })
    const moderator = {
      kind: 'user' as const,
      id: newId(),
      sessionId: null,
      address: null,
      userAgent: null,
      requestId: null,
      reason: null,
    }
    await stack.port.deleteMessagesOf({
      id: newId(),
      userId: anna!.userId,
      since: '2020-01-01T00:00:00.000Z',
      actor: moderator,
    })
    expect((await stack.history(id, ben!)).body.items).toEqual([])
  })
})

describe('delivery', () => {
  const mark = async (reader: Member, id: string, userId: string) =>
    (await read(reader, id)).body.participants.find((one) => one.userId === userId)!

  test('what has reached a device is told to the other, never beyond what there is, never back', async () => {
    const [anna, ben] = await members(2)
    const { id } = await pair(anna!, ben!)
    const frames: unknown[] = []
    await stack.bus.subscribe(subjects.stream(`channel:${id}`), (payload) => {
      if (payload.startsWith('-1 ')) frames.push(JSON.parse(payload.slice(3)))
    })
    for (const content of ['1', '2', '3']) await stack.send(id, anna!, { content })
    const tell = (userId: string, ...seqs: number[]) =>
      stack.port.acknowledgeDeliveries({ userId, deliveries: seqs.map((seq) => ({ channelId: id, seq })) })
    await tell(ben!.userId, 1, 2)
    expect(await mark(anna!, id, ben!.userId)).toMatchObject({ deliveredSeq: 2, readSeq: 0 })
    await tell(ben!.userId, 1)
    await tell(ben!.userId, 99)
    await tell(ben!.userId, 99)
    await tell((await stack.authority.member()).userId, 3)
    expect(await mark(anna!, id, ben!.userId)).toMatchObject({ deliveredSeq: 3, readSeq: 0 })
    const about = { channelId: id, userId: ben!.userId, readSeq: 0 }
    expect(frames).toMatchObject([
      { t: 'delivery.updated', stream: `channel:${id}`, d: { ...about, deliveredSeq: 2 } },
      { t: 'delivery.updated', d: { ...about, deliveredSeq: 3 } },
    ])
    expect((await read(anna!, id)).body.lastSeq).toBe(3)
  })

  test('many devices of many people at once', async () => {
    const everybody = await members(5)
    const groups = await Promise.all(Array.from({ length: 8 }, () => group(...everybody)))
    await Promise.all(groups.map(({ id }) => stack.send(id, everybody[0]!, { content: 'hello' })))
    const deliveries = groups.map(({ id }) => ({ channelId: id, seq: 1 }))
    await Promise.all(
      everybody.flatMap(({ userId }) => [
        stack.port.acknowledgeDeliveries({ userId, deliveries }),
        stack.port.acknowledgeDeliveries({ userId, deliveries: deliveries.toReversed() }),
      ]),
    )
    for (const { id } of groups) {
      const { participants } = (await read(everybody[0]!, id)).body
      expect(participants.map((one) => one.deliveredSeq)).toEqual([1, 1, 1, 1, 1])
    }
  })
})

test('somebody in 2,000 conversations has their list, and what a gateway asks for, without a wait', async () => {
  const [anna] = await members(1)
  await stack.sql`with made as (
      insert into conversations (id, kind, created_at, active_at)
      select gen_random_uuid(), 'group', now(), now() - n * interval '1 minute' from generate_series(1, 2000) n
      returning id)
    insert into conversation_participants (conversation_id, user_id, joined_at)
    select id, userId, now() from made, unnest(array[${anna!.userId}, gen_random_uuid()]::uuid[]) as userId`
  await list(anna!)
  const began = performance.now()
  expect((await list(anna!, '?limit=100')).body.items).toHaveLength(100)
  const first = await stack.port.conversationsOf({ userId: anna!.userId })
  const second = await stack.port.conversationsOf({ userId: anna!.userId, after: first.next! })
  expect(performance.now() - began).toBeLessThan(5_000)
  expect([first.memberships.length, first.newest.length, second.newest.length, second.next]).toEqual([
    1000,
    100,
    0,
    null,
  ])
  expect(new Set([...first.memberships, ...second.memberships].map((one) => one.id)).size).toBe(2000)
})
