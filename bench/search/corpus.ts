import { randomUUIDv7 } from 'bun'
import type postgres from 'postgres'

const WORDS = 50_000
const PER_MESSAGE = 12
const AUTHORS = 50
const ROWS_PER_INSERT = 1_000
// One message of so many is in the small channel; one of so many has a link.
const SMALL_ONE_IN = 1_000
const LINK_ONE_IN = 20
/** A word of three messages. */
export const NEEDLE = 'needleinthehaystack'

export type Corpus = { total: number; authors: string[]; writtenAt: number }

/** The word that is the `n`th most frequent. */
export const wordOf = (n: number): string => {
  const letters = 'bcdfghklmnprstvz'
  let rest = n + 16
  let word = ''
  for (; rest > 0; rest = Math.floor(rest / 16)) word += `${letters[rest % 16]}${'aeiou'[rest % 5]}`
  return word
}

/** The same sequence each time, from 0 up to 1 (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/**
 * Writes messages as people's are made up: a few words in most of them, most words in few (Zipf's law). Straight into
 * the database, as if they had been there before there was an index.
 */
export async function makeCorpus(
  sql: postgres.Sql,
  { total, channelId, smallId }: { total: number; channelId: string; smallId: string },
): Promise<Corpus> {
  const random = randomNumbers(1)
  const authors = Array.from({ length: AUTHORS }, () => randomUUIDv7())
  const word = () => wordOf(Math.floor(WORDS ** random()))
  const seqs = new Map([
    [channelId, 0],
    [smallId, 0],
  ])
  const row = (index: number) => {
    const channel = index % SMALL_ONE_IN === 0 ? smallId : channelId
    const seq = seqs.get(channel)! + 1
    seqs.set(channel, seq)
    const words = Array.from({ length: PER_MESSAGE }, word)
    if (index % LINK_ONE_IN === 0) words.push(`https://example.com/${word()}`)
    if ((index + 7) % Math.floor(total / 3) === 0) words.push(NEEDLE)
    return {
      id: randomUUIDv7(),
      channel_id: channel,
      author_id: authors[Math.floor(random() * AUTHORS)]!,
      seq,
      content: words.join(' '),
      created_at: new Date(Date.UTC(2020, 0, 1) + index * 60_000),
    }
  }
  for (let index = 0; index < total; index += ROWS_PER_INSERT) {
    await sql`insert into messages ${sql(Array.from({ length: ROWS_PER_INSERT }, (_, i) => row(index + i)))}`
  }
  const writtenAt = performance.now()
  for (const [channel, seq] of seqs) {
    await sql`insert into streams (name, last_seq) values (${`channel:${channel}`}, ${seq})
      on conflict (name) do update set last_seq = ${seq}`
  }
  return { total, authors, writtenAt }
}
