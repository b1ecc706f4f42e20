import { type Api, type SearchMessagesData, type SearchPage, searchMessages, unwrap } from '@conntext/sdk'
import { eventually } from '@conntext/testing'
import { type Question, readWords, type Scanned, scan } from './scan.ts'

export type Sort = 'newest' | 'oldest' | 'relevance'
/** `pageMs`: how long each page took. */
export type Answer = { q: string; hits: SearchPage['items']; isComplete: boolean; pageMs: number[] }

// By relevance so many, the newest, are ranked.
const MOST_RANKED = 1_000

/** The question as somebody would type it. */
export function toQuery(question: Question): string {
  const quote = (text: string) => `"${text}"`
  const moment = (at: number) => new Date(at).toISOString()
  return [
    ...(question.from === undefined ? [] : [`from:${question.from}`]),
    ...(question.in === undefined ? [] : [`in:${quote(question.in)}`]),
    ...(question.notIn === undefined ? [] : [`-in:${quote(question.notIn)}`]),
    ...(question.after === undefined ? [] : [`after:${moment(question.after)}`]),
    ...(question.before === undefined ? [] : [`before:${moment(question.before)}`]),
    ...(question.has === undefined ? [] : [`has:${question.has}`]),
    ...(question.words ?? []).map(quote),
    ...(question.not ?? []).map((text) => `-${quote(text)}`),
    ...(question.prefix === undefined ? [] : [`${question.prefix}*`]),
    ...(question.typing === undefined ? [] : [question.typing]),
  ].join(' ')
}

/** Asks the server, and takes every page of its answer. */
export async function ask(api: Api, question: Question, sort: Sort): Promise<Answer> {
  const answer: Answer = { q: toQuery(question), hits: [], isComplete: true, pageMs: [] }
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const began = performance.now()
    const page: SearchPage = await fetchPage(api, { q: answer.q, sort, limit: '100', ...(cursor ? { cursor } : {}) })
    answer.pageMs.push(performance.now() - began)
    answer.hits.push(...page.items)
    answer.isComplete &&= page.isComplete
    cursor = page.nextCursor
  }
  return answer
}

const fetchPage = (api: Api, query: SearchMessagesData['query']): Promise<SearchPage> =>
  unwrap(searchMessages({ client: api.client, query }))

/** What is wrong with an answer, by the scan; nothing where it holds. `messages` in the order of their times and ids. */
export function faultsOf(messages: Scanned[], question: Question, sort: Sort, answer: Answer): string[] {
  const oldestFirst = scan(messages, question).map((message) => message.id)
  const newestFirst = oldestFirst.toReversed()
  const expected = sort === 'oldest' ? oldestFirst : sort === 'newest' ? newestFirst : newestFirst.slice(0, MOST_RANKED)
  const found = answer.hits.map((hit) => hit.message.id)
  const foundSet = new Set(found)
  const expectedSet = new Set(expected)
  const faults: string[] = []
  const missing = expected.filter((id) => !foundSet.has(id))
  const wrong = found.filter((id) => !expectedSet.has(id))
  if (missing.length > 0) faults.push(`${missing.length} are missing, such as ${missing[0]}`)
  if (wrong.length > 0) faults.push(`${wrong.length} do not belong there, such as ${wrong[0]}`)
  if (foundSet.size < found.length) faults.push(`${found.length - foundSet.size} come twice`)
  const isSorted = sort === 'relevance' ? isByScore(answer) : found.every((id, i) => id === expected[i])
  if (faults.length === 0 && !isSorted) faults.push('the order is wrong')
  if (!answer.isComplete) faults.push('it says that it is not complete')
  return [...faults, ...highlightFaults(question, answer)]
}

const isByScore = ({ hits }: Answer): boolean =>
  hits.every((hit, i) => i === 0 || (hits[i - 1]!.score ?? 0) >= (hit.score ?? 0))

/** A word that alone was asked for is what is marked. */
function highlightFaults({ words = [], prefix, typing }: Question, { hits }: Answer): string[] {
  const [word] = words
  if (words.length !== 1 || prefix !== undefined || typing !== undefined || !/^[a-z]+$/i.test(word!)) return []
  const marks = ({ message, highlights }: Answer['hits'][number]) => {
    const characters = [...message.content]
    return highlights.map(({ start, length }) => characters.slice(start, start + length).join(''))
  }
  const isRight = (marked: string) => readWords(marked).some((form) => form.includes(word!.toLowerCase()))
  const wrong = hits.filter((hit) => hit.highlights.length === 0 || !marks(hit).every(isRight))
  return wrong.length === 0 ? [] : [`${wrong.length} mark something else, such as ${wrong[0]!.message.id}`]
}

/** Waits until everything is in the index, and tells how long that took. */
export async function whenIndexed(api: Api): Promise<string> {
  const began = performance.now()
  await eventually(async () => (await ask(api, { words: ['xyzzyplughnone'] }, 'newest')).isComplete, 120_000)
  return `${((performance.now() - began) / 1000).toFixed(1)} s`
}
