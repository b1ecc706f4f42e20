import { SETUP_CODE, startServerProcess } from '@conntext/testing'
import { join, type Person } from '../conversation/people.ts'
import { hold } from '../conversation/scenario.ts'
import { makeChannels, registerAuthors, sendMails, toScan } from './corpus/bring-in.ts'
import { downloadMails } from './corpus/download.ts'
import { type Mail, readMail } from './corpus/mail.ts'
import { planConversations } from './corpus/plan.ts'
import { drawnQuestions, namedQuestions } from './corpus/questions.ts'
import { checkHistories, checkReader, connectReader } from './corpus/readers.ts'
import type { Question, Scanned } from './corpus/scan.ts'
import { ask, faultsOf, type Sort, whenIndexed } from './corpus/search.ts'
import { Progress } from './progress.ts'
import type { Say } from './say.ts'

const MESSAGE_LENGTH = 4_000
const SUBJECTS = 400
const DRAWN = 600

/** Without limits of rate: a whole community writes within a minute. */
export const UNLIMITED = {
  CONNTEXT_RATE_ACCOUNT: '0',
  CONNTEXT_RATE_ADDRESS: '0',
  CONNTEXT_RATE_CREDENTIALS: '0',
  CONNTEXT_RATE_MESSAGES: '0',
  CONNTEXT_RATE_FRAMES: '0',
}

/** The mails of a public corpus become conversations; all of it is read back and searched, each answer checked. */
export async function demoCorpus(say: Say): Promise<void> {
  const raw = await downloadMails(say)
  const mails: Mail[] = await withProgress('mails read', raw.length, async (step) => {
    const read: Mail[] = []
    for (const one of raw) {
      read.push(await readMail(one))
      step()
    }
    return read
  })
  const plan = planConversations(mails, { length: MESSAGE_LENGTH, subjects: SUBJECTS })
  const total = plan.channels.reduce((sum, channel) => sum + channel.messages.length, 0)
  const replies = plan.channels.flatMap(({ messages }) => messages.filter(({ replyTo }) => replyTo !== null)).length
  const { cut, withoutNul, wellFormed, empty, unanswerable } = plan.changes
  say(`${mails.length} mails make ${total} messages, ${replies} of them replies, in ${plan.channels.length} channels`)
  say(`${cut} were cut for their length, ${withoutNul} lost a NUL, ${wellFormed} half a surrogate pair; ${empty} were`)
  say(`empty and left out; ${unanswerable} answer one in another channel`)

  say('starting a server on new data')
  await using server = await startServerProcess(UNLIMITED)
  const owner = await join(server.url, 'olga', { setupCode: SETUP_CODE })
  const members = await withProgress('members', plan.authors.length, (step) =>
    registerAuthors(owner, plan.authors, step),
  )
  say(`${members.size} authors are members`)
  const ids = await withProgress('channels', plan.channels.length, (step) => makeChannels(owner, plan.channels, step))
  const reader = await join(server.url, 'reader')
  const live = await connectReader(reader.api)
  const cursors = live.gateway.cursors

  const began = performance.now()
  const channels = await withProgress('messages', total, (step) => sendMails(plan, ids, members, step))
  const seconds = (performance.now() - began) / 1000
  say(`${total} messages are sent and acknowledged in ${seconds.toFixed(1)} s`)
  await checkReader(live, channels)
  const returned = await connectReader(reader.api, cursors)
  await checkReader(returned, channels)
  say('a reader who was there, and one who came back with cursors from before it all, got each once, in order')
  await withProgress('messages read back', total, (step) => checkHistories(reader, channels, members, step))
  say('history has all of them as the mails have them: authors, words, order and replies')
  for (const { gateway } of [owner, reader, live, returned]) gateway.close()

  const messages = toScan(channels, members)
  say(`search knows all of it ${await whenIndexed(reader.api)} after the last message`)
  const times = await searchAll(say, reader, messages)
  say(`messages: ${total}, members: ${members.size}, channels: ${channels.length}`)
  say(`sent in ${seconds.toFixed(1)} s: ${Math.round(total / seconds)} messages/s`)
  say(`searches: p50 ${ms(percentile(times, 0.5))}, p99 ${ms(percentile(times, 0.99))}`)
}

async function searchAll(say: Say, reader: Person, messages: Scanned[]): Promise<number[]> {
  const sorts: Sort[] = ['newest', 'oldest', 'relevance']
  const times: number[] = []
  const faults: string[] = []
  const check = async (question: Question, sort: Sort) => {
    const answer = await ask(reader.api, question, sort)
    times.push(...answer.pageMs.slice(0, 1))
    const wrong = faultsOf(messages, question, sort, answer)
    faults.push(...wrong.map((fault) => `${answer.q} (${sort}): ${fault}`))
    return { answer, wrong }
  }
  for (const { name, question } of namedQuestions(messages)) {
    const { answer, wrong } = await check(question, 'newest')
    const [first] = answer.pageMs
    const verdict = wrong.length === 0 ? 'as the scan' : `WRONG: ${wrong.join('; ')}`
    say(
      `${name.padEnd(26)} ${String(answer.hits.length).padStart(5)} hits  ${ms(first!).padStart(7)}  ${answer.q}  ${verdict}`,
    )
  }
  const drawn = drawnQuestions(messages, DRAWN)
  let hits = 0
  await withProgress('searches', drawn.length, async (step) => {
    for (const [i, question] of drawn.entries()) {
      hits += (await check(question, sorts[i % sorts.length]!)).answer.hits.length
      step()
    }
  })
  for (const fault of faults) say(`WRONG: ${fault}`)
  hold(faults.length === 0, `${faults.length} answers of search are not what a scan of the mails finds`)
  say(`${drawn.length} more, drawn at random, by time and by relevance: ${hits} hits, all as the scan finds them`)
  return times
}

async function withProgress<T>(what: string, total: number, work: (step: () => void) => Promise<T>): Promise<T> {
  const progress = new Progress(what, total)
  try {
    return await work(() => progress.step())
  } finally {
    progress.end()
  }
}

const ms = (time: number): string => `${time.toFixed(1)} ms`

const percentile = (times: number[], part: number): number =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * part))]!
