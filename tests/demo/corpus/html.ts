import { decoded } from '../../conversation/corpus.ts'

const BLOCKS = 'p, br, div, li, tr, table, h1, h2, h3, h4, h5, h6, hr, blockquote, pre, center'

/** What an HTML document says, a line for each block. Whatever its markup, something comes of it. */
export function htmlToText(html: string): string {
  let text = ''
  const rewriter = new HTMLRewriter()
    .on('head, style, script, title', { element: (element) => void element.remove() })
    .on(BLOCKS, {
      element() {
        text += '\n'
      },
    })
    .onDocument({
      text(chunk) {
        if (!chunk.removed) text += chunk.text
      },
    })
  rewriter.transform(html)
  return decoded(text)
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').trim())
    .filter(Boolean)
    .join('\n')
}
