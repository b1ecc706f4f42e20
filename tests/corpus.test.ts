import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SETUP_CODE, type ServerProcess, startServerProcess } from '@conntext/testing'
import { join, type Person } from './conversation/people.ts'
import { type BroughtChannel, makeChannels, registerAuthors, sendMails, toScan } from './demo/corpus/bring-in.ts'
import { downloadMails } from './demo/corpus/download.ts'
import { type Mail, readMail } from './demo/corpus/mail.ts'
import { type Plan, planConversations } from './demo/corpus/plan.ts'
import { drawnQuestions, namedQuestions } from './demo/corpus/questions.ts'
import { checkHistories, checkReader, connectReader, type Reader } from './demo/corpus/readers.ts'
import { type Scanned, scan } from './demo/corpus/scan.ts'
import { ask, faultsOf, type Sort, whenIndexed } from './demo/corpus/search.ts'
import { UNLIMITED } from './demo/corpus.ts'

// Of each group of the corpus, so many mails from one place on: threads of a list, and spam in several scripts.
const CHOSEN: Record<string, [from: number, count: number]> = { 'easy-ham-1': [300, 200], 'spam-2': [800, 50] }
const SUBJECTS = 20
const DRAWN = 120

// The tests tell one story, in order, on one server.
let server: ServerProcess
let plan: Plan
let members: Awaited<ReturnType<typeof registerAuthors>>
let reader: Person
let live: Reader
let cursors: Record<string, number>
let channels: BroughtChannel[]
let messages: Scanned[]
const connections: { close(): void }[] = []

beforeAll(async () => {
  plan = planConversations(await chosenMails(), { length: 4_000, subjects: SUBJECTS })
  server = await startServerProcess(UNLIMITED)
  const owner = await join(server.url, 'olga', { setupCode: SETUP_CODE })
  members = await registerAuthors(owner, plan.authors, () => {})
  const ids = await makeChannels(owner, plan.channels, () => {})
  reader = await join(server.url, 'reader')
  live = await connectReader(reader.api)
  cursors = live.gateway.cursors
  connections.push(owner.gateway, reader.gateway, live.gateway)
  channels = await sendMails(plan, ids, members, () => {})
  messages = toScan(channels, members)
}, 240_000)

afterAll(async () => {
  for (const connection of connections) connection.close()
  await server?.[Symbol.asyncDispose]()
}, 120_000)

async function chosenMails(): Promise<Mail[]> {
  const mails = await downloadMails(console.log)
  const chosen = Object.entries(CHOSEN).flatMap(([group, [from, count]]) =>
    mails.filter((mail) => mail.group === group).slice(from, from + count),
  )
  return Promise.all(chosen.map(readMail))
}

test('mails are threads: answers stand in the channel of what they answer, behind it', () => {
  const replies = plan.channels.flatMap((channel) =>
    channel.messages.flatMap(({ replyTo }, place) => (replyTo === null ? [] : [{ place, replyTo }])),
  )
  expect(replies.length).toBeGreaterThan(50)
  expect(replies.every(({ place, replyTo }) => replyTo < place)).toBe(true)
})

test('every mail, read page by page, is there in order, as its author wrote it', async () => {
  await checkHistories(reader, channels, members, () => {})
}, 120_000)

test('who was there while the mails came, and who comes back with old cursors, gets each once', async () => {
  await checkReader(live, channels)
  const returned = await connectReader(reader.api, cursors)
  connections.push(returned.gateway)
  await checkReader(returned, channels)
}, 120_000)

describe('search finds what a plain scan of the mails finds, all of it, and nothing else', () => {
  test('asked by words, phrases, names, places and times', async () => {
    await whenIndexed(reader.api)
    for (const { name, question } of namedQuestions(messages)) {
      const answer = await ask(reader.api, question, 'newest')
      expect({ name, q: answer.q, faults: faultsOf(messages, question, 'newest', answer) }).toMatchObject({
        faults: [],
      })
    }
  }, 120_000)

  test('asked at random, in every order', async () => {
    const sorts: Sort[] = ['newest', 'oldest', 'relevance']
    for (const [i, question] of drawnQuestions(messages, DRAWN).entries()) {
      const sort = sorts[i % sorts.length]!
      const answer = await ask(reader.api, question, sort)
      expect({ q: answer.q, sort, faults: faultsOf(messages, question, sort, answer) }).toMatchObject({ faults: [] })
    }
  }, 120_000)

  test('and the scan itself tells mails apart', () => {
    const found = scan(messages, { words: ['linux'] })
    expect(found.length).toBeGreaterThan(5)
    expect(found.every(({ content }) => /linux/i.test(content))).toBe(true)
    const others = messages.filter((message) => !found.includes(message))
    expect(others.some(({ content }) => /(?<![a-z0-9])linux(?![a-z0-9])/i.test(content))).toBe(false)
  })
})
