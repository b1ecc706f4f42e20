import { describe, expect, test } from 'bun:test'
import type { Conversation, NewMessage, Override } from '@conntext/contracts'
import { newId } from '@conntext/kernel'
import { contents, find, indexNow, SLOW, sent } from './searching.ts'
import { type Member, startMessaging } from './stack.ts'

const PNG = Uint8Array.from(
  atob('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='),
  (character) => character.charCodeAt(0),
)

async function scene() {
  const stack = await startMessaging()
  const general = await stack.authority.channel({ name: 'general' })
  const other = await stack.authority.channel({ name: 'two words' })
  const [ann, bob] = [
    await stack.authority.member(),
    await stack.authority.member({ permissions: ['message.mentionEveryone'] }),
  ]
  const say = (member: Member, content: string, more: Partial<NewMessage> & { channelId?: string } = {}) => {
    const { channelId = general.id, ...message } = more
    return sent(stack, channelId, member, { content, ...message })
  }
  return { stack, general, other, ann, bob, say }
}

const nameOf = (member: Member) => `user-${member.userId.slice(-6)}`

describe('a search finds', () => {
  test(
    'by every operator, at once and after indexing the same',
    async () => {
      const { stack, general, other, ann, bob, say } = await scene()
      await using _ = stack
      const { body: picture } = await stack.upload(ann, PNG, '?filename=a.png')
      const { body: file } = await stack.upload(ann, 'plain words', '?filename=a.txt')
      const first = await say(ann, 'apples and pears')
      await say(bob, 'apples in the other', { channelId: other.id })
      await say(ann, 'a picture', { mediaIds: [picture.id] })
      await say(ann, 'a file', { mediaIds: [file.id] })
      await say(bob, `a link https://example.com/apples for <@${ann.userId}>`)
      await say(bob, '@everyone come')
      await stack.sql`update messages set created_at = '2020-02-29T12:00:00Z' where id = ${first.id}`
      // It may be in the index by now, on a slow machine.
      await stack.sql`update search_documents set created_at = '2020-02-29T12:00:00Z' where message_id = ${first.id}`
      await stack.sql`update messages set pinned_at = now() where id = ${first.id}`

      const cases: [query: string, found: string[]][] = [
        ['apples', ['apples and pears', 'apples in the other', 'link']],
        ['apples pears', ['apples and pears']],
        ['"and pears"', ['apples and pears']],
        ['"pears and"', []],
        ['apples -pears', ['apples in the other', 'link']],
        ['apples -"in the"', ['apples and pears', 'link']],
        ['appl*  and', ['apples and pears']],
        ['appl', ['apples and pears', 'apples in the other', 'link']],
        [`from:${nameOf(bob)} apples`, ['apples in the other', 'link']],
        [`from:@${nameOf(bob).toUpperCase()} apples`, ['apples in the other', 'link']],
        [`from:${bob.userId} apples`, ['apples in the other', 'link']],
        [`apples -from:${bob.userId}`, ['apples and pears']],
        ['apples from:@me', ['apples and pears']],
        [`apples from:@me from:${nameOf(bob)}`, ['apples and pears', 'apples in the other', 'link']],
        ['from:nobody apples', []],
        ['-from:nobody pears', ['apples and pears']],
        ['in:"two words"', ['apples in the other']],
        ['apples -in:#general', ['apples in the other']],
        [`apples in:${general.id}`, ['apples and pears', 'link']],
        ['apples in:general in:"TWO words"', ['apples and pears', 'apples in the other', 'link']],
        ['in:nowhere apples', []],
        ['has:image', ['a picture']],
        ['has:file', ['a picture', 'a file']],
        ['has:file -has:image', ['a file']],
        ['has:link', ['link']],
        ['has:video', []],
        ['mentions:@me', ['link']],
        [`mentions:${nameOf(ann)}`, ['link']],
        ['mentions:everyone', ['@everyone come']],
        ['mentions:@me mentions:everyone', []],
        ['is:pinned', ['apples and pears']],
        ['apples -is:pinned', ['apples in the other', 'link']],
        ['apples before:2021', ['apples and pears']],
        ['apples on:2020-02-29', ['apples and pears']],
        ['apples during:2020-02', ['apples and pears']],
        ['apples -during:2020', ['apples in the other', 'link']],
        ['apples after:2020-02-29', ['apples in the other', 'link']],
        ['apples after:2020-02-28 before:2020-03', ['apples and pears']],
      ]
      const short = (all: string[]) => all.map((text) => (text.startsWith('a link') ? 'link' : text))
      for (const when of ['at once', 'indexed']) {
        if (when === 'indexed') await indexNow(stack)
        for (const [query, found] of cases) {
          expect([when, query, short(await contents(stack, ann, query))]).toEqual([when, query, found])
        }
      }
    },
    SLOW,
  )

  test(
    'every script, at once and after indexing the same',
    async () => {
      const { stack, ann, say } = await scene()
      await using _ = stack
      const texts = [
        '東京都に行きます',
        'ฉันรักภาษาไทย',
        'مرحبا بالعالم',
        'שָׁלוֹם עולם',
        'नमस्ते दुनिया',
        '🎉 party 👍🏽',
        '서울에서 만나요',
        'Größe',
        'ខ្ញុំស្រឡាញ់',
      ]
      for (const text of texts) await say(ann, text)
      const cases = [
        ['京都', 0],
        ['都', 0],
        ['ภาษา', 1],
        ['بالعالم', 2],
        ['שלום', 3],
        ['"दुनिया"', 4],
        ['🎉', 5],
        ['👍', 5],
        ['서울', 6],
        ['GROSSE', 7],
        ['ស្រឡាញ់', 8],
      ] as const
      for (const when of ['at once', 'indexed']) {
        if (when === 'indexed') await indexNow(stack)
        for (const [query, index] of cases) {
          expect([when, query, await contents(stack, ann, query)]).toEqual([when, query, [texts[index]!]])
        }
      }
    },
    SLOW,
  )

  test(
    'and marks the words, in code points of the content as it was sent',
    async () => {
      const { stack, ann, say } = await scene()
      await using _ = stack
      await say(ann, '👍🏽 <b>Apples</b> & "apples"')
      const { body } = await find(stack, ann, 'apples from:@me')
      expect(body.items[0]).toMatchObject({
        message: { content: '👍🏽 <b>Apples</b> & "apples"' },
        highlights: [
          { start: 6, length: 6 },
          { start: 20, length: 6 },
        ],
      })
      expect((await find(stack, ann, 'from:@me')).body.items[0]).toMatchObject({ score: null, highlights: [] })
    },
    SLOW,
  )
})

describe('a query that is wrong', () => {
  const cases: [query: string, code: string, message?: string][] = [
    ['one "two', 'search.invalidQuery', 'at character 5: the quotation mark is never closed'],
    ['has:cheese', 'search.invalidQuery', 'at character 1: has: takes link, file, image, video, audio'],
    [
      'x before:soon',
      'search.invalidQuery',
      'at character 3: before: takes a date such as 2026-01-31, 2026-01 or 2026',
    ],
    ['a '.repeat(40), 'search.invalidQuery', 'at character 65: at most 32 terms are taken'],
    ['', 'request.invalid'],
    ['!!! ---', 'search.empty'],
    ['x'.repeat(32_000), 'request.invalid'],
  ]
  test(
    'is a 422 that says where',
    async () => {
      const { stack, ann } = await scene()
      await using _ = stack
      for (const [query, code, message] of cases) {
        const { status, body } = await find(stack, ann, query)
        expect([query, status, body.code]).toEqual([query, 422, code])
        if (message) expect(body.errors).toEqual([{ path: '/query/q', message }])
      }
      for (const more of ['&sort=best', '&limit=0', '&cursor=nonsense', '&colour=red']) {
        expect([more, (await find(stack, ann, 'x', more)).status]).toEqual([more, 422])
      }
      const time = Buffer.from(`- 1 ${newId()} - -`).toString('base64url')
      expect((await find(stack, ann, 'x', `&cursor=${time}`)).status).toBe(422)
      expect((await find(stack, ann, 'x', `&sort=newest&cursor=${time}`)).status).toBe(200)
    },
    SLOW,
  )

  test(
    'is never a statement of the database’s own language',
    async () => {
      const { stack, ann, say } = await scene()
      await using _ = stack
      await say(ann, "it's 'quoted' & \\ (odd) :overlong")
      await indexNow(stack)
      const attempts = [
        "'",
        "''",
        "' | 'x",
        "it's",
        "\\'",
        '!x & (',
        'a <-> b',
        ':*',
        ':overlong',
        ':from/x',
        "x'; drop table messages; --",
        '\0',
        'x\0y',
        '%',
        '_',
        'from:"\0"',
        `in:"'"`,
        'mentions:"\\"',
      ]
      for (const query of attempts) {
        const { status } = await find(stack, ann, query)
        expect([query, [200, 422].includes(status)]).toEqual([query, true])
      }
      expect((await stack.json('GET', '/v1/search?q=x%ED%A0%80%00', ann)).status).toBe(200)
      expect(await contents(stack, ann, "it's")).toHaveLength(1)
      expect(await contents(stack, ann, ':overlong')).toHaveLength(1)
      expect(await contents(stack, ann, ':from/x odd')).toHaveLength(0)
    },
    SLOW,
  )
})

describe('what the caller may not see', () => {
  const hide = (channelId: string, roleId: string, deny: Override['deny']): Override => ({
    channelId,
    targetKind: 'role',
    targetId: roleId,
    allow: [],
    deny,
  })

  test(
    'is never found, from the moment on in which it is hidden, and found again when it is not',
    async () => {
      const { stack, general, other, ann, bob, say } = await scene()
      await using _ = stack
      await say(bob, 'a secret')
      await say(bob, 'a secret elsewhere', { channelId: other.id })
      const [everyone] = stack.authority.snapshot.roles
      for (const deny of [['channel.view'], ['message.history']] as Override['deny'][]) {
        for (const when of ['at once', 'indexed']) {
          if (when === 'indexed') await indexNow(stack)
          expect(await contents(stack, ann, 'secret')).toHaveLength(2)
          stack.authority.snapshot.overrides.push(hide(general.id, everyone!.id, deny))
          await stack.authority.changed()
          expect(await contents(stack, ann, 'secret')).toEqual(['a secret elsewhere'])
          for (const q of ['in:general secret', `in:${general.id} secret`, 'in:general'])
            expect((await find(stack, ann, q)).body).toEqual({ items: [], nextCursor: null, isComplete: true })
          for (const sort of ['relevance', 'newest', 'oldest'])
            expect((await find(stack, ann, 'secret', `&sort=${sort}&limit=1`)).body.nextCursor).toBeNull()
          stack.authority.snapshot.overrides.pop()
          await stack.authority.changed()
        }
      }
    },
    SLOW,
  )

  test(
    'is told to nobody without a token, to no one who has left, and to no token of other scopes',
    async () => {
      const { stack, ann, say } = await scene()
      await using _ = stack
      await say(ann, 'a word')
      const bearing = (token: string): Member => ({ ...ann, token })
      expect((await find(stack, undefined, 'word')).status).toBe(401)
      const sends = stack.authority.apiToken(ann.userId, ['channel.view', 'message.send'])
      expect((await find(stack, bearing(sends.token), 'word')).body.code).toBe('access.forbidden')
      const reads = stack.authority.apiToken(ann.userId, ['channel.view', 'message.history'])
      expect(await contents(stack, bearing(reads.token), 'word')).toEqual(['a word'])
      const blind = stack.authority.apiToken(ann.userId, ['message.history'])
      expect(await contents(stack, bearing(blind.token), 'word')).toEqual([])
      await stack.authority.setGrant(ann.userId, { standing: 'left' })
      expect((await find(stack, ann, 'word')).status).toBe(403)
    },
    SLOW,
  )

  test(
    'in conversations as well, by whom one has them with and by what groups are called',
    async () => {
      const { stack, ann, bob, say } = await scene()
      await using _ = stack
      const carl = await stack.authority.member()
      const open = async (member: Member, body: object) =>
        (await stack.json<Conversation>('POST', '/v1/dms', member, body)).body.id
      const channelId = await open(ann, { userIds: [bob.userId] })
      const group = await open(ann, { userIds: [bob.userId, carl.userId], name: 'Long Walks' })
      const others = await open(bob, { userIds: [carl.userId] })
      await say(ann, 'boots for all')
      await say(bob, 'boots for ann', { channelId })
      await say(carl, 'boots for walks', { channelId: group })
      await say(carl, 'boots for bob', { channelId: others })
      const cases: [member: Member, query: string, found: string[]][] = [
        [ann, `in:@${nameOf(bob)} boots`, ['boots for ann']],
        [ann, `in:<@${bob.userId}>`, ['boots for ann']],
        [bob, `in:@${nameOf(ann).toUpperCase()} in:@${nameOf(carl)} boots`, ['boots for ann', 'boots for bob']],
        [bob, `boots -in:@${nameOf(carl)}`, ['boots for all', 'boots for ann', 'boots for walks']],
        [ann, `in:@${nameOf(carl)} boots`, []],
        [carl, 'in:"long walks" boots', ['boots for walks']],
        [ann, `in:${nameOf(bob)} boots`, []],
        [ann, 'in:@nobody boots', []],
        [ann, 'in:@ boots', []],
      ]
      for (const when of ['at once', 'indexed']) {
        if (when === 'indexed') await indexNow(stack)
        for (const [member, query, found] of cases)
          expect([query, await contents(stack, member, query)]).toEqual([query, found])
      }
    },
    SLOW,
  )

  test(
    'is what others say to each other: a conversation is searched by those who take part in it, as long as they do',
    async () => {
      const { stack, ann, bob } = await scene()
      await using _ = stack
      const carl = await stack.authority.member()
      const userIds = [bob.userId, carl.userId]
      const { body: group } = await stack.json<Conversation>('POST', '/v1/dms', ann, { userIds })
      await sent(stack, group.id, ann, { content: 'between us' })
      const eve = await stack.authority.member({ permissions: ['administrator'] })
      for (const when of ['at once', 'indexed']) {
        if (when === 'indexed') await indexNow(stack)
        for (const q of ['between', `in:${group.id}`]) {
          for (const member of [ann, bob, carl]) expect(await contents(stack, member, q)).toEqual(['between us'])
          expect(await contents(stack, eve, q)).toEqual([])
        }
      }
      const left = await stack.json('DELETE', `/v1/dms/${group.id}/participants/${carl.userId}`, carl)
      expect(left.status).toBe(204)
      expect(await contents(stack, carl, 'between')).toEqual([])
      expect(await contents(stack, bob, 'between')).toEqual(['between us'])
    },
    SLOW,
  )
})
