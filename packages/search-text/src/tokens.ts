import { type Folded, fold } from './fold.ts'

/**
 * A place in a text that can be searched for. A word, a symbol and a character of a script without spaces take one
 * `position` each. `start` and `end` are UTF-16 units of the original.
 */
export type Token = {
  kind: 'word' | 'part' | 'pair' | 'last' | 'symbol'
  lexeme: string
  position: number
  start: number
  end: number
  /** Where the first of a pair's two characters ends; for all others the end. */
  headEnd: number
}

/** In code points. What is longer is cut: Postgres takes no lexeme over 2046 bytes. */
export const LONGEST_WORD = 64

// Written without spaces, or, as Korean, with particles joined to the word.
const UNSPACED = ['Han', 'Hira', 'Kana', 'Hang', 'Bopo', 'Yi', 'Thai', 'Lao', 'Khmr', 'Mymr', 'Lana', 'Java', 'Tang']
const scripts = (property: 'sc' | 'scx') => `[${UNSPACED.map((name) => `\\p{${property}=${name}}`).join('')}]`
// Of the marks only those of one of these scripts alone: the common ones are used with many.
const RUNNING = `[[[\\p{L}\\p{N}]&&${scripts('scx')}][\\p{M}&&${scripts('sc')}]\\u3099\\u309a]`
const PICTURE = '[[\\p{So}\\p{Sc}\\p{Extended_Pictographic}\\p{RI}\\p{Emoji_Modifier}]--\\p{ASCII}]'
// Groups: a run, a symbol; what is neither is a word.
const TOKEN = new RegExp(`(${RUNNING}+)|[[\\p{L}\\p{M}\\p{N}]--${RUNNING}]+|(\\p{RI}{2}|${PICTURE})`, 'gv')
// The same for ASCII, which is most of what is written, in a fraction of the time.
const ASCII_WORD = /[a-z0-9]+/g
const ASCII = /^[\0-\x7f]*$/
const WORD_START = /^[\p{L}\p{M}\p{N}]+/v
/** Where a capital begins a word within the word: camelCase, and HTTPServer. */
const HUMP = /(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/v

/**
 * Takes a text apart, by rules of our own rather than `Intl.Segmenter`'s, whose dictionaries change with the runtime:
 * what is stored must go with what is asked years later.
 *
 * * A word is a run of letters, marks and digits; all else separates. So the parts of addresses, of `snake_case` and of
 *   contractions are words, and the whole of them is a phrase.
 * * The parts of camelCase stand beside the whole word, at its position (`parts`: for what is searched, not for what is
 *   asked).
 * * A run of a script without spaces becomes overlapping pairs of characters, its last character by itself: any part of
 *   it is a phrase of pairs, whatever a dictionary says, and any single character is the beginning of some lexeme.
 * * Emoji and other symbols are words.
 */
export function tokenise(text: string, { parts }: { parts: boolean }): Token[] {
  const folded = fold(text)
  const tokens: Token[] = []
  const isAscii = ASCII.test(folded.text)
  let position = 0
  for (const match of folded.text.matchAll(isAscii ? ASCII_WORD : TOKEN)) {
    const [whole, run, symbol] = match
    if (run !== undefined) pushRun(tokens, folded, match.index, run, position)
    else if (symbol !== undefined)
      tokens.push(at(folded, { kind: 'symbol', lexeme: symbol, position, unit: match.index }))
    else {
      pushWord(tokens, folded, match.index, whole, position)
      if (parts) pushParts(tokens, text, tokens.at(-1)!)
    }
    position = tokens.at(-1)!.position + 1
  }
  return tokens
}

type Place = { kind: Token['kind']; lexeme: string; position: number; unit: number }

function at(folded: Folded, { kind, lexeme, position, unit }: Place): Token {
  const end = folded.endOf(unit + lexeme.length - 1)
  return { kind, lexeme, position, start: folded.startOf(unit), end, headEnd: end }
}

function pushRun(tokens: Token[], folded: Folded, index: number, run: string, first: number): void {
  const characters = [...run]
  let unit = index
  characters.forEach((character, i) => {
    const next = characters[i + 1]
    const kind = next === undefined ? 'last' : 'pair'
    const token = at(folded, { kind, lexeme: character + (next ?? ''), position: first + i, unit })
    tokens.push({ ...token, headEnd: folded.endOf(unit + character.length - 1) })
    unit += character.length
  })
}

function pushWord(tokens: Token[], folded: Folded, index: number, word: string, first: number): void {
  if (word.length <= LONGEST_WORD) {
    tokens.push(at(folded, { kind: 'word', lexeme: word, position: first, unit: index }))
    return
  }
  const characters = [...word]
  let unit = index
  for (let from = 0, position = first; from < characters.length; from += LONGEST_WORD, position += 1) {
    const lexeme = characters.slice(from, from + LONGEST_WORD).join('')
    tokens.push(at(folded, { kind: 'word', lexeme, position, unit }))
    unit += lexeme.length
  }
}

// Of a word that was cut, only of the last piece.
function pushParts(tokens: Token[], text: string, whole: Token): void {
  const original = text.slice(whole.start, whole.end)
  if (original === whole.lexeme || !HUMP.test(original)) return
  let start = whole.start
  for (const part of original.split(HUMP)) {
    // Folding may open up a character into several, of which one separates: ½ is 1⁄2.
    const lexeme = WORD_START.exec(fold(part).text)?.[0] ?? ''
    const end = start + part.length
    if (lexeme.length > 1 && lexeme.length <= LONGEST_WORD && lexeme !== whole.lexeme) {
      tokens.push({ kind: 'part', lexeme, position: whole.position, start, end, headEnd: end })
    }
    start = end
  }
}
