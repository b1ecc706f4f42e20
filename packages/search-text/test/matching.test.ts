import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { highlights, matches, type Phrase, parseQuery, toDocument, toVector } from '../src/index.ts'
import { declarations, nasty } from './support/texts.ts'

const RUNS = 300
const finds = (query: string, text: string): boolean => matches(toDocument(text), parseQuery(query).phrases)

/** The marked parts, as a client cuts them out. */
const marked = (query: string, text: string): string[] =>
  highlights(text, parseQuery(query).phrases).map(({ start, length }) =>
    [...text].slice(start, start + length).join(''),
  )

const spaced = [
  'alpha',
  'beta',
  'gamma',
  'привет',
  'мир',
  'ελλάδα',
  'שלום',
  'مرحبا',
  'हिन्दी',
  'বাংলা',
  'ქართული',
  '🎉',
  '7',
]
const unspaced = [...'東京都にひカナ漢字ภาษาไทย한국어ພາສາខ្មែរမြန်']

const words = fc.array(fc.constantFrom(...spaced), { maxLength: 12 })
const separator = fc.constantFrom(' ', ', ', '\n', '/', ' - ', '_')

describe('against a plain scan', () => {
  test('a phrase of words is found where these words follow one another, and nowhere else', () => {
    fc.assert(
      fc.property(
        words,
        separator,
        fc.array(fc.constantFrom(...spaced), { minLength: 1, maxLength: 3 }),
        (all, by, some) => {
          const expected = all.some((_, i) => some.every((word, k) => all[i + k] === word))
          expect(finds(`"${some.join(' ')}"`, all.join(by))).toBe(expected)
        },
      ),
      { numRuns: RUNS },
    )
  })

  test('words without quotation marks are found wherever they stand, each of them, and excluded ones nowhere', () => {
    const few = fc.array(fc.constantFrom(...spaced), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(words, few, few, (all, wanted, unwanted) => {
        const expected = wanted.every((word) => all.includes(word)) && !unwanted.some((word) => all.includes(word))
        const query = [...wanted, ...unwanted.map((word) => `-${word}`)].join(' ')
        expect(finds(query, all.join(' '))).toBe(expected)
      }),
      { numRuns: RUNS },
    )
  })

  test('in scripts without spaces every part of a text is found, however short, and nothing else', () => {
    const text = fc.array(fc.constantFrom(...unspaced, ...unspaced, ' ', 'x', '。'), { maxLength: 30 })
    const part = fc.array(fc.constantFrom(...unspaced), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(text, part, fc.nat(30), fc.integer({ min: 1, max: 6 }), (all, random, from, length) => {
        const whole = all.join('')
        expect(finds(`"${random.join('')}"`, whole)).toBe(whole.includes(random.join('')))
        const cut = all
          .slice(from, from + length)
          .join('')
          .trim()
        if (/[^\s。]/.test(cut)) expect(finds(`"${cut}"`, whole)).toBe(true)
      }),
      { numRuns: RUNS },
    )
  })

  test('the beginning of a word is found with a star', () => {
    fc.assert(
      fc.property(words, fc.constantFrom(...spaced), fc.integer({ min: 1, max: 4 }), (all, word, length) => {
        const beginning = [...word].slice(0, length).join('')
        fc.pre(!/\p{M}$|🎉/u.test(beginning))
        expect(finds(`${beginning}*`, all.join(' '))).toBe(all.some((one) => one.startsWith(beginning)))
      }),
      { numRuns: RUNS },
    )
  })
})

describe('real texts', () => {
  test('in hundreds of languages, every paragraph is found by a part of itself, marked where it stands', async () => {
    let count = 0
    for (const { language, paragraphs } of await declarations(4)) {
      for (const paragraph of paragraphs.slice(0, 12)) {
        const parts = paragraph.replaceAll(/["“”„]/g, ' ').split(/\s+/)
        const part = parts.slice(1, 5).join(' ')
        if (!/[\p{L}\p{N}]/u.test(part)) continue
        count += 1
        expect([language, part, finds(`"${part}"`, paragraph)]).toEqual([language, part, true])
        expect(marked(`"${part}"`, paragraph).length).toBeGreaterThan(0)
      }
    }
    expect(count).toBeGreaterThan(500)
  })

  test('nasty strings are taken apart without harm, in little time, and found by themselves', () => {
    for (const text of nasty) {
      const began = performance.now()
      const document = toDocument(text)
      toVector(document)
      for (const tokens of document.byPosition.values()) {
        for (const { start, end, headEnd } of tokens) {
          expect(start).toBeLessThan(end)
          expect(headEnd).toBeLessThanOrEqual(end)
          expect(end).toBeLessThanOrEqual(text.length)
        }
      }
      const [sample] = document.byLexeme.keys()
      if (sample !== undefined) expect(finds(`"${sample}"`, text)).toBe(true)
      expect(performance.now() - began).toBeLessThan(10_000)
    }
  })
})

describe('what makes no difference', () => {
  const same: [name: string, query: string, text: string][] = [
    ['case', 'strasse', 'Die STRASSE und die Straße'],
    ['a final sigma', 'οδοσ', 'ΟΔΟΣ'],
    ['diacritics', 'lodz cafe istanbul', 'Łódź, İstanbul: cafe\u0301'],
    ['diacritics in the query', 'Łódź', 'lodz'],
    ['Cyrillic ё', 'еще', 'ещё'],
    ['the points of Hebrew', 'שלום', 'שָׁלוֹם'],
    ['the points of Arabic', 'عربي', 'عَرَبِيّ'],
    ['tatweel', 'العربية', 'العـــربية'],
    ['width', 'ｶﾞｷﾞ abc', 'ガギ ＡＢＣ'],
    ['ligatures', 'office', 'oﬃce'],
    ['what is not to be seen', 'unseen', 'un\u00adse\u200ben'],
    ['the tone of a hand', '👍', '👍🏽'],
  ]
  test.each(same)('%s', (_, query, text) => expect(finds(query, text)).toBe(true))
})

describe('what makes one', () => {
  const different: [name: string, query: string, text: string][] = [
    ['part of a word', '"script"', 'scripture'],
    ['a flag of other letters', '🇩🇪', '🇧🇩🇪🇸'],
    ['vowels of Devanagari', '"कि"', 'की'],
    ['the order of characters', '京東', '東京'],
    ['characters apart', '東京', '東 京'],
    ['a trade mark’s sign is no part of the name', '"brandtm"', 'Brand™'],
    ['two letters are no beginning', 'he', 'hello'],
    ['quoted words are no beginnings', '"hel"', 'hello'],
    ['a word before the last is no beginning', 'hel wor', 'hello world'],
    ['what is excluded is no beginning', 'world -wor', 'wor world'],
  ]
  test.each(different)('%s', (_, query, text) => expect(finds(query, text)).toBe(false))
})

describe('parts of words', () => {
  const found: [query: string, text: string][] = [
    ['script', 'the JavaScript of it'],
    ['javascript', 'the JavaScript of it'],
    ['"javascript of"', 'the JavaScript of it'],
    ['server', 'new HTTPServer()'],
    ['i1', 'aI½ was decoded wrongly'],
    ['snake_case', 'a snake_case name'],
    ['case', 'a snake_case name'],
    ['example.com', 'see https://example.com/docs?page=2'],
    ['docs', 'see https://example.com/docs?page=2'],
    ['don’t', "we don't"],
    ['brand', 'Brand™'],
    ['kg', '5㎏'],
    ['hel', 'hello'],
    ['hel*', 'hello world'],
    ['hel* world', 'hello world'],
    ['"hello wor"*', 'hello world'],
    ['w*', 'hello world'],
  ]
  test.each(found)('%s in %s', (query, text) => expect(finds(query, text)).toBe(true))
})

describe('highlights', () => {
  const cases: [query: string, text: string, expected: string[]][] = [
    ['world', 'hello world, World', ['world', 'World']],
    ['"hello world"', 'hello, world; hello you', ['hello, world']],
    ['wor', '👍🏽 hello world', ['world']],
    ['京', '東京都と京都', ['京', '京']],
    ['京都', '東京都と京都', ['京都', '京都']],
    ['都', '東京都', ['都']],
    ['script', 'JavaScript', ['Script']],
    ['cafe', '<b>cafe\u0301</b>', ['cafe\u0301']],
    ['👩', '👨‍👩‍👧', ['👩\u200d']],
    ['hello -world', 'hello', ['hello']],
    ['"a b" "b c"', 'a b c', ['a b c']],
  ]
  test.each(cases)('%s in %s', (query, text, expected) => expect(marked(query, text)).toEqual(expected))

  test('lie within the text, ascending and apart, and there are a hundred at most', () => {
    const texts = fc.array(fc.constantFrom(...spaced, ...unspaced, ' ', ' ', '👍🏽'), { maxLength: 300 })
    fc.assert(
      fc.property(texts, fc.constantFrom(...spaced, ...unspaced), (parts, query) => {
        const text = parts.join('')
        const found = highlights(text, parseQuery(query).phrases as Phrase[])
        expect(found.length).toBeLessThanOrEqual(100)
        let end = -1
        for (const { start, length } of found) {
          expect(start).toBeGreaterThan(end)
          expect(length).toBeGreaterThan(0)
          end = start + length
        }
        expect(end).toBeLessThanOrEqual([...text].length)
      }),
      { numRuns: RUNS },
    )
    expect(highlights('a '.repeat(500), parseQuery('a').phrases)).toHaveLength(100)
  })
})
