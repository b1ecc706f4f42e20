/**
 * What search has to find, told by reading every message: written from what the documentation promises, without any of
 * the server's code. What it promises, plainly:
 *
 * * Case, the accents of Latin, Greek and Cyrillic, vowel points, compatibility forms and invisible characters make no
 *   difference; letters such as ø count as the one without the stroke.
 * * A word is a run of letters, marks and digits; everything else stands between words. A word of more than 64
 *   characters counts as several of 64. Pictures and currency signs are words by themselves.
 * * Parts of camelCase, of two letters or more, are found in place of the whole word.
 * * A script without spaces between words, and Korean, is found by any part of what is written together.
 * * All that is asked for must be there; a phrase as neighbours, whatever stands between two words.
 */
export type Scanned = {
  id: string
  authorName: string
  channelName: string
  createdAt: number
  /** Whether somebody links to something in it. */
  link: boolean
  content: string
  /** In each place, what it is found by: a word and its parts, a symbol; nothing for a character of a run. */
  places: string[][]
  forms: Set<string>
  runs: string[]
}

/** What is asked. `typing` is a last word of three letters or more that may go on, as `prefix` does. */
export type Question = {
  words?: string[]
  prefix?: string
  typing?: string
  not?: string[]
  from?: string
  in?: string
  notIn?: string
  /** Moments in milliseconds, neither of them included. */
  after?: number
  before?: number
  has?: 'link'
}

type Given = { id: string; content: string; createdAt: string; authorName: string; channelName: string }

/** Reads messages, and puts them in the order of their times and ids. */
export const readAll = (messages: Given[]): Scanned[] =>
  messages.map(readOne).sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))

function readOne({ createdAt, ...given }: Given): Scanned {
  const { places, runs } = take(given.content)
  return {
    ...given,
    createdAt: Date.parse(createdAt),
    link: /\bhttps?:\/\/[^\s/]/i.test(given.content),
    places,
    forms: new Set(places.flat()),
    runs,
  }
}

/** What a text is found by. */
export const readWords = (text: string): string[] => take(text).places.flat()

/** All that fits, in the order given. */
export function scan(messages: Scanned[], question: Question): Scanned[] {
  const wanted = (question.words ?? []).map(asked)
  const unwanted = (question.not ?? []).map(asked)
  const begun = [question.prefix, question.typing].flatMap((word) => (word === undefined ? [] : [lower(plain(word))]))
  return messages.filter(
    (message) =>
      (question.from === undefined || message.authorName.toLowerCase() === question.from.toLowerCase()) &&
      (question.in === undefined || message.channelName.toLowerCase() === question.in.toLowerCase()) &&
      (question.notIn === undefined || message.channelName.toLowerCase() !== question.notIn.toLowerCase()) &&
      (question.after === undefined || message.createdAt > question.after) &&
      (question.before === undefined || message.createdAt < question.before) &&
      (question.has === undefined || message.link) &&
      wanted.every((phrase) => holds(message, phrase)) &&
      !unwanted.some((phrase) => holds(message, phrase)) &&
      begun.every((beginning) => beginsWith(message, beginning)),
  )
}

type Phrase = { words: string[]; run: string | undefined }

function asked(text: string): Phrase {
  const { places, runs } = take(text)
  const isRun = runs.length === 1 && places.every((forms) => forms.length === 0)
  if (runs.length > 0 && !isRun) throw new Error(`the scan does not read phrases such as ${text}`)
  return { words: places.map((forms) => forms[0] ?? ''), run: runs[0] }
}

function holds({ places, forms, runs }: Scanned, { words, run }: Phrase): boolean {
  if (run !== undefined) return runs.some((one) => one.includes(run))
  if (!words.every((word) => forms.has(word))) return false
  return words.length === 1 || places.some((_, at) => words.every((word, i) => places[at + i]?.includes(word)))
}

function beginsWith({ forms }: Scanned, beginning: string): boolean {
  for (const form of forms) if (form.startsWith(beginning)) return true
  return false
}

const INVISIBLE = /\p{Default_Ignorable_Code_Point}/gu
const OPTIONAL = ['Latin', 'Greek', 'Cyrillic', 'Hebrew', 'Arabic'].map((script) => `\\p{Script=${script}}`).join('')
const ACCENTS = new RegExp(`([${OPTIONAL}\\p{Script=Common}])[\\p{M}&&[${OPTIONAL}\\p{Script=Inherited}]]+`, 'gv')
const STROKES: Record<string, string> = { ø: 'o', ł: 'l', đ: 'd', ð: 'd', ħ: 'h', ŧ: 't', æ: 'ae', œ: 'oe', þ: 'th' }

// Stands between the parts of camelCase; the mails have no character of private use.
const SEAM = '\ue000'
const HUMP = /(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/gu

/** A text without what makes no difference, but with its capitals, and with seams where they tell parts of words. */
function plain(text: string): string {
  const seamed = text.replace(HUMP, SEAM)
  if (/^\p{ASCII}*$/u.test(text)) return seamed
  const signs = seamed.replace(INVISIBLE, '').replace(/\p{S}/gu, (sign) => {
    const written = sign.normalize('NFKD')
    return /^\p{S}/u.test(written) ? sign : ` ${written} `
  })
  return signs.normalize('NFKD').replace(ACCENTS, '$1').replaceAll('ـ', '').normalize('NFKC')
}

// There and back, so that ß is ss.
const lower = (word: string): string =>
  word
    .replaceAll(SEAM, '')
    .toUpperCase()
    .toLowerCase()
    .replace(/[øłđðħŧæœþ]/g, (letter) => STROKES[letter]!)

const LONGEST = 64
const UNSPACED = ['Han', 'Hira', 'Kana', 'Hang', 'Bopo', 'Yi', 'Thai', 'Lao', 'Khmr', 'Mymr', 'Lana', 'Java', 'Tang']
const RUN = `[[\\p{L}\\p{N}\\p{M}]&&[${UNSPACED.map((script) => `\\p{scx=${script}}`).join('')}]]`
const SIGN = '[[\\p{So}\\p{Sc}\\p{Extended_Pictographic}\\p{Emoji_Modifier}]--\\p{ASCII}]'
const PLACE = new RegExp(`(?<run>${RUN}+)|(?<word>[[\\p{L}\\p{M}\\p{N}${SEAM}]--${RUN}]+)|\\p{RI}{2}|${SIGN}`, 'gv')

function take(text: string): { places: string[][]; runs: string[] } {
  const places: string[][] = []
  const runs: string[] = []
  for (const { 0: found, groups } of plain(text).matchAll(PLACE)) {
    if (groups?.run !== undefined) {
      runs.push(lower(found))
      for (const _ of found) places.push([])
    } else if (groups?.word === undefined) places.push([found])
    else places.push(...placesOf(found))
  }
  return { places, runs }
}

function placesOf(word: string): string[][] {
  const characters = [...word.replaceAll(SEAM, '')]
  const places: string[][] = []
  for (let from = 0; from < characters.length; from += LONGEST) {
    places.push([lower(characters.slice(from, from + LONGEST).join(''))])
  }
  // Of a word that was cut, its last piece alone.
  const cutOff = (places.length - 1) * LONGEST
  let at = 0
  const parts = word.split(SEAM).map((part) => {
    const rest = part.slice(Math.max(0, cutOff - at))
    at += part.length
    return lower(rest)
  })
  places.at(-1)?.push(...parts.filter((part) => part.length > 1 && part !== places.at(-1)![0]))
  return places
}
