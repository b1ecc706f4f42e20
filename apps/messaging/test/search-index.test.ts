import { describe, expect, test } from 'bun:test'
import { matches, parseQuery, toDocument } from '@conntext/search-text'
import { eventually } from '@conntext/testing'
import fc from 'fast-check'
import { createMessagingService } from '../src/service.ts'
import { contents, find, indexed, indexNow, SLOW, searchScene as scene, sent, write } from './searching.ts'
import { recordingLogger, type Stack } from './stack.ts'

const documents = async (stack: Stack) => (await stack.sql`select message_id from search_documents`).length

/** Keeps whatever is being indexed from committing. */
async function holdProgress(stack: Stack) {
  const lock = await stack.sql.reserve()
  await lock`begin`
  await lock`lock table search_progress in share mode`
  return {
    isWaitedFor: async () =>
      (
        await lock`select 1 from pg_locks where relation = 'search_progress'::regclass and not granted
        and database = (select oid from pg_database where datname = current_database())`
      ).length > 0,
    release: () => lock`rollback`,
    async [Symbol.asyncDispose]() {
      lock.release()
    },
  }
}

describe('what changes is found as it is', () => {
  test(
    'right after each edit and each deletion, whether it was in the index or not',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      for (const when of ['at once', 'indexed']) {
        const wait = () => (when === 'indexed' ? indexNow(stack) : undefined)
        const { id } = await sent(stack, channel.id, ann, { content: 'before' })
        await wait()
        await stack.json('PATCH', `/v1/channels/${channel.id}/messages/${id}`, ann, {
          content: 'after https://a.example',
        })
        expect([when, await contents(stack, ann, 'before')]).toEqual([when, []])
        expect(await contents(stack, ann, 'after has:link')).toEqual(['after https://a.example'])
        await wait()
        expect(await contents(stack, ann, 'after has:link')).toEqual(['after https://a.example'])
        await stack.json('DELETE', `/v1/channels/${channel.id}/messages/${id}`, ann)
        expect([when, await contents(stack, ann, 'after')]).toEqual([when, []])
        await wait()
        expect([when, await contents(stack, ann, 'after')]).toEqual([when, []])
      }
      expect(await documents(stack)).toBe(0)
    },
    SLOW,
  )

  test(
    'however edits, deletions and the index meet',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await write(
        stack,
        channel.id,
        ann,
        Array.from({ length: 600 }, (_, i) => `old ${i}`),
      )
      const ids = (await stack.sql`select id from messages order by seq desc limit 60`).map((row) => row.id as string)
      await Promise.all(
        ids.map((id, i) =>
          i % 2 === 0
            ? stack.json('PATCH', `/v1/channels/${channel.id}/messages/${id}`, ann, { content: `new ${i}` })
            : stack.json('DELETE', `/v1/channels/${channel.id}/messages/${id}`, ann),
        ),
      )
      await indexNow(stack)
      expect((await contents(stack, ann, 'new')).length).toBe(30)
      const [{ stale }] =
        (await stack.sql`select count(*)::int as stale from search_documents join messages on id = message_id
      where deleted_at is not null or not words @@ plainto_tsquery('simple', content)`) as unknown as [
          { stale: number },
        ]
      expect(stale).toBe(0)
      expect(await documents(stack)).toBe(570)
    },
    SLOW,
  )

  test(
    'also when it is changed while it is on its way into the index',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await using held = await holdProgress(stack)
      const rows = await write(stack, channel.id, ann, ['to be edited', 'to be deleted'])
      await eventually(() => held.isWaitedFor())
      const path = (i: number) => `/v1/channels/${channel.id}/messages/${rows[i]!.id}`
      let answered = 0
      const changes = [
        stack.json('PATCH', path(0), ann, { content: 'it is edited' }),
        stack.json('DELETE', path(1), ann),
      ].map((change) => change.then(() => answered++))
      // Either is kept waiting, or has gone past the index.
      await eventually(
        async () =>
          answered > 0 ||
          (
            await stack.sql`select 1 from pg_locks where locktype = 'advisory' and not granted
              and database = (select oid from pg_database where datname = current_database())`
          ).length > 0,
      )
      await held.release()
      await Promise.all(changes)
      await indexNow(stack)
      expect(await contents(stack, ann, 'to')).toEqual([])
      expect(await contents(stack, ann, 'edited')).toEqual(['it is edited'])
      expect(await documents(stack)).toBe(1)
    },
    SLOW,
  )

  test(
    'and is gone with its author, its channel, and whatever deletes in bulk',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      const other = await stack.authority.channel({ name: 'other' })
      const bob = await stack.authority.member()
      await sent(stack, channel.id, bob, { content: 'by bob' })
      await sent(stack, channel.id, ann, { content: 'by ann' })
      await sent(stack, other.id, ann, { content: 'by ann elsewhere' })
      await indexNow(stack)
      await stack.port.userDeleted({ userId: bob.userId, messages: 'delete' })
      expect(await contents(stack, ann, 'by')).toEqual(['by ann', 'by ann elsewhere'])
      stack.authority.snapshot.channels.splice(0, 1)
      await stack.authority.changed()
      expect(await contents(stack, ann, 'by')).toEqual(['by ann elsewhere'])
      await stack.port.channelDeleted({ channelId: channel.id })
      expect(await documents(stack)).toBe(1)
      expect(await stack.sql`select * from search_progress where channel_id = ${channel.id}`).toHaveLength(0)
    },
    SLOW,
  )
})

describe('the index', () => {
  test(
    'takes up messages from before there was one, and goes on where it was interrupted',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await stack.service.stop()
      await write(
        stack,
        channel.id,
        ann,
        Array.from({ length: 1500 }, (_, i) => `old ${i}`),
      )
      const { log, lines } = recordingLogger()
      const first = createMessagingService({ ...stack.deps, log })
      await first.start()
      const progress = async () =>
        Number((await stack.sql`select indexed_seq from search_progress`)[0]?.indexed_seq ?? 0)
      await eventually(async () => (await progress()) > 0)
      await first.stop()
      const reached = await progress()
      expect(await documents(stack)).toBe(reached)
      // Half of it in the index, half of it not: found alike.
      expect(await contents(stack, ann, '"old 3"')).toEqual(['old 3'])
      expect(await contents(stack, ann, '"old 1499"')).toEqual(['old 1499'])
      const second = createMessagingService({ ...stack.deps, log })
      await second.start()
      await indexed(stack)
      await second.stop()
      expect(await documents(stack)).toBe(1500)
      expect(lines).toEqual([])
    },
    SLOW,
  )

  test(
    'says that it is not complete while more is left than can be looked through, and finds the newest',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await stack.service.stop()
      await write(
        stack,
        channel.id,
        ann,
        Array.from({ length: 5_100 }, (_, i) => `old ${i}`),
      )
      const { body } = await find(stack, ann, 'old', '&sort=newest&limit=1')
      expect(body).toMatchObject({ items: [{ message: { content: 'old 5099' } }], isComplete: false })
      expect((await find(stack, ann, '"old 0"')).body).toMatchObject({ items: [], isComplete: false })
    },
    SLOW,
  )

  test(
    'passes over what cannot be indexed, and says so',
    async () => {
      const { log, lines } = recordingLogger()
      const { stack, channel, ann } = await scene({ log })
      await using _ = stack
      await stack.sql`create function refuse() returns trigger language plpgsql as $$ begin
      if new.words @@ 'poison' then raise exception 'no'; end if; return new; end $$`
      await stack.sql`create trigger refuse before insert on search_documents for each row execute function refuse()`
      await write(stack, channel.id, ann, ['one', 'poison', 'two'])
      await indexed(stack)
      expect(await contents(stack, ann, 'one')).toEqual(['one'])
      expect(await contents(stack, ann, 'two')).toEqual(['two'])
      expect(lines.filter((line) => line.level === 'error')).toHaveLength(1)
    },
    SLOW,
  )

  test(
    'answers as a scan of the very texts does, whatever is asked of it',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      const vocabulary = [
        'alpha',
        'beta',
        'gamma',
        'Größe',
        'привет',
        '東京',
        '都',
        'ภาษา',
        'snake_case',
        'JavaScript',
        '🎉',
        'x7',
      ]
      const word = fc.constantFrom(...vocabulary)
      const text = fc.array(word, { minLength: 1, maxLength: 8 }).map((words) => words.join(' '))
      const texts = fc.sample(text, 150)
      // Where the places of words end, and their number.
      texts.push(
        `${'alpha '.repeat(300)}beta`,
        `${'beta '.repeat(300)}alpha gamma`,
        '東京都'.repeat(1200),
        `${'漢字'.repeat(1900)} alpha beta`,
      )
      texts.push(`${'x7 '.repeat(9000)}alpha gamma`, `${'gamma x7 '.repeat(9000)}`)
      await write(stack, channel.id, ann, texts)
      await indexNow(stack)
      const atom = fc.oneof(
        word,
        word.map((one) => `-${one}`),
        fc.array(word, { minLength: 2, maxLength: 3 }).map((words) => `"${words.join(' ')}"`),
        fc.array(word, { minLength: 2, maxLength: 2 }).map((words) => `-"${words.join(' ')}"`),
        word.map((one) => `${[...one].slice(0, 3).join('')}*`),
        fc.constantFrom(
          '京',
          '都東',
          'script',
          'case',
          '-"x7 alpha"',
          '"x7 alpha gamma"',
          '"alpha beta"',
          '"beta alpha"',
        ),
      )
      const query = fc.array(atom, { minLength: 1, maxLength: 3 }).map((atoms) => atoms.join(' '))
      await fc.assert(
        fc.asyncProperty(query, async (q) => {
          const { phrases } = parseQuery(q)
          const expected = texts.filter((one) => matches(toDocument(one), phrases))
          const found: string[] = []
          for (let cursor = ''; ; ) {
            const { status, body } = await find(stack, ann, q, `&sort=oldest&limit=100${cursor}`)
            expect(status).toBe(200)
            found.push(...body.items.map((hit) => hit.message.content))
            if (!body.nextCursor) break
            cursor = `&cursor=${body.nextCursor}`
          }
          expect(found).toEqual(expected)
        }),
        { numRuns: 40 },
      )
    },
    SLOW * 2,
  )
})
