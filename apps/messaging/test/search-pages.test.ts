import { describe, expect, test } from 'bun:test'
import type { SearchHit } from '@conntext/contracts'
import { find, indexNow, SLOW, searchScene as scene, sent, write } from './searching.ts'
import type { Member, Stack } from './stack.ts'

describe('pages', () => {
  const pages = async (stack: Stack, member: Member, q: string, sort: string, between?: () => Promise<unknown>) => {
    const hits: SearchHit[] = []
    for (let cursor = ''; ; ) {
      const { status, body } = await find(stack, member, q, `&sort=${sort}&limit=7${cursor}`)
      expect(status).toBe(200)
      hits.push(...body.items)
      if (!body.nextCursor) return hits
      expect(body.items).toHaveLength(7)
      cursor = `&cursor=${body.nextCursor}`
      await between?.()
    }
  }
  const texts = Array.from({ length: 60 }, (_, i) =>
    i % 3 === 0 ? `word ${i}` : i % 3 === 1 ? `word word ${i} ${'and more '.repeat(i)}` : 'none',
  )

  test.each(['newest', 'oldest', 'relevance'])(
    'by %s tell everything once, whatever is sent meanwhile',
    async (sort) => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await write(stack, channel.id, ann, texts)
      await indexNow(stack)
      let fresh = 0
      const hits = await pages(stack, ann, 'word', sort, async () => {
        fresh += 1
        await sent(stack, channel.id, ann, { content: `word fresh${fresh} ${'and so on '.repeat(200)}` })
      })
      const old = hits.filter((hit) => !hit.message.content.includes('fresh'))
      expect(new Set(old.map((hit) => hit.message.id)).size).toBe(40)
      expect(old).toHaveLength(40)
      if (sort !== 'oldest') expect(hits).toHaveLength(40)
      const seqs = old.map((hit) => hit.message.seq)
      if (sort === 'oldest') expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
      if (sort === 'newest') expect(seqs).toEqual(seqs.toSorted((a, b) => b - a))
      if (sort === 'relevance') {
        const order = old.map((hit) => [hit.score!, hit.message.seq] as const)
        expect(order).toEqual(order.toSorted((a, b) => b[0] - a[0] || b[1] - a[1]))
        expect(old[0]!.score).toBeGreaterThan(old.at(-1)!.score!)
      }
    },
    SLOW,
  )

  test(
    'by relevance are the same whether messages are in the index or not',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      for (const content of ['word', 'a word and a word', 'word word', 'no', 'the last word of a longer text']) {
        await sent(stack, channel.id, ann, { content })
      }
      const order = async () =>
        (await find(stack, ann, 'word')).body.items.map(({ message, score }) => [message.content, score])
      const before = await order()
      expect(before).toHaveLength(4)
      await indexNow(stack)
      expect(await order()).toEqual(before)
    },
    SLOW,
  )
})

describe('a search that takes too long', () => {
  test(
    'is given up with a 503, and what is too much at once is refused',
    async () => {
      const { stack, channel, ann } = await scene()
      await using _ = stack
      await write(stack, channel.id, ann, ['one'])
      await indexNow(stack)
      const lock = await stack.sql.reserve()
      await lock`begin`
      await lock`lock table search_documents in access exclusive mode`
      let unlocked: Promise<unknown> | undefined
      const unlock = () => {
        unlocked ??= lock`rollback`.execute()
        return unlocked
      }
      const answers = await Promise.all(
        Array.from({ length: 70 }, () => find(stack, ann, 'one', '&sort=newest')).map(async (one) => {
          const answer = await one
          // Whoever waited is let through.
          if (answer.body.code === 'search.tooSlow') await unlock()
          return answer
        }),
      )
      lock.release()
      const codes = answers.map((answer) => answer.body.code ?? 'found')
      expect(codes.filter((code) => code === 'search.overloaded')).toHaveLength(70 - 3 - 64)
      expect(codes.filter((code) => code === 'search.tooSlow').length).toBeGreaterThan(0)
      expect(codes.filter((code) => code === 'found').length).toBeGreaterThan(60)
      expect(answers.find((answer) => answer.body.code === 'search.tooSlow')!.status).toBe(503)
    },
    SLOW,
  )
})
