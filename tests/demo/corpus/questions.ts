import type { Question, Scanned } from './scan.ts'

export type Named = { name: string; question: Question }

/** Questions of every kind, their words taken from the mails themselves, so that each finds something. */
export function namedQuestions(messages: Scanned[]): Named[] {
  const counts = countWords(messages)
  const byCount = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([word]) => word)
  const letters = (word: string) => /^[a-z]{5,12}$/.test(word)
  const plainWords = byCount.filter(letters)
  const [most, second] = byCount as [string, string]
  const [common, other] = plainWords as [string, string]
  const middle = plainWords[Math.floor(plainWords.length / 20)]!
  const author = mostOf(messages.map((message) => message.authorName))
  const channel = mostOf(messages.map((message) => message.channelName).filter((name) => !/["“”„*]/.test(name)))
  const times = messages.map((message) => message.createdAt).sort((a, b) => a - b)
  const at = (part: number) => times[Math.floor(times.length * part)]!
  const quoted = quotedPhrase(messages)
  return [
    { name: 'the most frequent word', question: { words: [most] } },
    { name: 'two frequent words', question: { words: [most, second] } },
    { name: 'a word of the middle', question: { words: [middle] } },
    { name: 'a word of one message', question: { words: [plainWords.findLast((word) => counts.get(word) === 1)!] } },
    { name: 'a word of none', question: { words: ['xyzzyplughnone'] } },
    { name: 'capitals', question: { words: [common.toUpperCase()] } },
    { name: 'a phrase', question: { words: ['one of the'] } },
    { name: 'a phrase of a quotation', question: { words: [quoted] } },
    { name: 'the parts of an address', question: { words: ['www.linux.ie'] } },
    { name: 'a word, not another', question: { words: [common], not: [other] } },
    { name: 'a word, not a phrase', question: { words: ['the'], not: ['of the', 'in the'] } },
    { name: 'the beginning of a word', question: { prefix: 'java' } },
    { name: 'a word being typed', question: { words: ['linux'], typing: 'distr' } },
    { name: 'a part of camelCase', question: { words: ['script'] } },
    { name: 'all by one author', question: { from: author } },
    { name: 'a word by one author', question: { words: [common], from: author } },
    { name: 'all of one channel', question: { in: channel } },
    { name: 'a word in one channel', question: { words: [common], in: channel } },
    { name: 'a word in all others', question: { words: [middle], notIn: channel } },
    { name: 'a word before a moment', question: { words: [common], before: at(0.3) } },
    { name: 'a word after a moment', question: { words: [common], after: at(0.7) } },
    { name: 'a word between moments', question: { words: [most], after: at(0.45), before: at(0.55) } },
    { name: 'a word with a link', question: { words: [common], has: 'link' } },
    { name: 'nobody of the name', question: { words: [most], from: 'nobody-of-this-name' } },
    ...foreignQuestions(messages, byCount),
  ]
}

function foreignQuestions(messages: Scanned[], byCount: string[]): Named[] {
  const named = (name: string, word: string | undefined) => (word ? [{ name, question: { words: [word] } }] : [])
  const firstOf = (pattern: RegExp) => byCount.find((word) => pattern.test(word))
  const runs = messages.flatMap((message) => message.runs.map((run) => [...run]))
  const pairs = runs.flatMap((run) => run.slice(1).map((character, i) => run[i]! + character))
  return [
    ...named('accents left out', messages.some(({ forms }) => forms.has('fur')) ? 'für' : undefined),
    ...named('a name with an accent', 'Jörg'),
    ...named('a Cyrillic word', firstOf(/^\p{Script=Cyrillic}{3,}$/u)),
    ...named('a Greek word', firstOf(/^\p{Script=Greek}{2,}$/u)),
    ...named('a sign', firstOf(/^[\p{Sc}\p{So}]$/u)),
    ...named('two characters of Chinese', mostOf(pairs.filter((pair) => /^\p{Script=Han}{2}$/u.test(pair)))),
    ...named('one character of Chinese', mostOf(runs.flat().filter((one) => /^\p{Script=Han}$/u.test(one)))),
    ...named('Japanese', mostOf(pairs.filter((pair) => /^\p{Script=Hiragana}{2}$/u.test(pair)))),
    ...named('Korean', mostOf(runs.flat().filter((one) => /^\p{Script=Hangul}$/u.test(one)))),
  ]
}

/** Questions drawn at random, the same ones each time: rare words and frequent ones, phrases, and combinations. */
export function drawnQuestions(all: Scanned[], count: number): Question[] {
  // Which channel's message came first differs from run to run.
  const messages = all.toSorted((a, b) => (a.channelName < b.channelName ? -1 : a.channelName > b.channelName ? 1 : 0))
  const draw = randomly()
  const pick = <T>(items: T[]): T => items[Math.floor(draw() * items.length)]!
  const words = [...countWords(messages).keys()]
  const worded = messages.filter((message) => message.places.some((forms) => forms.length > 0))
  const written = messages.filter((message) => message.runs.length > 0)
  const namable = messages.filter((message) => !/["“”„*]/.test(message.channelName))
  const wordOf = (message: Scanned): string => pick(message.places.filter((forms) => forms.length > 0))[0]!
  const phrase = (): string => {
    const { places } = pick(worded)
    const start = Math.floor(draw() * places.length)
    const neighbours = places.slice(start, start + 2 + Math.floor(draw() * 3)).map((forms) => forms[0])
    return neighbours.every((word) => word !== undefined) ? neighbours.join(' ') : phrase()
  }
  const part = (): string => {
    const characters = [...pick(pick(written).runs)]
    const start = Math.floor(draw() * characters.length)
    return characters.slice(start, start + 1 + Math.floor(draw() * 4)).join('')
  }
  const kinds: (() => Question)[] = [
    () => ({ words: [pick(words)] }),
    () => ({ words: [pick(words)] }),
    () => ({ words: [wordOf(pick(worded))] }),
    () => ({ words: [phrase()] }),
    () => ({ words: [phrase()] }),
    () => ({ words: [wordOf(pick(worded)), wordOf(pick(worded))], not: [wordOf(pick(worded))] }),
    () => ({ words: [wordOf(pick(worded))], from: pick(messages).authorName }),
    () => ({ words: [wordOf(pick(worded))], in: pick(namable).channelName, not: [phrase()] }),
    () => ({ prefix: [...pick(words)].slice(0, 4).join('') }),
    () => ({ words: [wordOf(pick(worded))], after: pick(messages).createdAt, before: pick(messages).createdAt }),
    ...(written.length > 0 ? [() => ({ words: [part()] })] : []),
  ]
  return Array.from({ length: count }, (_, i) => kinds[i % kinds.length]!())
}

/** In how many messages each word stands. */
function countWords(messages: Scanned[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { forms } of messages) for (const form of forms) counts.set(form, (counts.get(form) ?? 0) + 1)
  return counts
}

function mostOf(items: string[]): string | undefined {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1)
  return [...counts].reduce<[string, number] | undefined>((a, b) => (a && a[1] >= b[1] ? a : b), undefined)?.[0]
}

/** Some words in a row of what a mail quotes. */
function quotedPhrase(messages: Scanned[]): string {
  for (const { content } of messages) {
    const found = /^> +([A-Za-z]+ [A-Za-z]+ [A-Za-z]+ [A-Za-z]+)/m.exec(content)?.[1]
    if (found) return found
  }
  throw new Error('no mail quotes another')
}

/** Numbers from 0 up to 1 (mulberry32). */
function randomly(): () => number {
  let state = 20_020_822
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
