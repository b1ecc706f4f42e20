/**
 * A text as it is compared, and where it comes from: the part of the original from `startOf(i)` up to `endOf(i)` became
 * what its UTF-16 unit `i` belongs to.
 */
export type Folded = { text: string; startOf(unit: number): number; endOf(unit: number): number }

// More marks than any language stacks; beyond it normalising them takes the square of their number.
const MARKS = 30
// A character with all that normalising may join to it: marks, jamo, half-width voicing, what is not to be seen.
const CLUSTER = new RegExp(
  `.[\\p{M}\\p{Default_Ignorable_Code_Point}\\u1160-\\u11ff\\ud7b0-\\ud7fb\\uff9e\\uff9f]{0,${MARKS}}`,
  'gsv',
)
const ASCII = /^[\0-\x7f]*$/
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gv
// Where marks are left out in writing, or typed by few. Elsewhere they are vowels.
const ALPHABETS = String.raw`\p{sc=Latn}\p{sc=Grek}\p{sc=Cyrl}\p{sc=Hebr}\p{sc=Arab}\p{sc=Zinh}`
const MARK = new RegExp(`[\\p{M}&&[${ALPHABETS}]]`, 'gv')
const MARKS_ARE_OPTIONAL = new RegExp(`^[${ALPHABETS}\\p{sc=Zyyy}]`, 'v')
const SYMBOL = /^\p{S}/v
const TATWEEL = 'ـ'

/** Letters that Unicode doesn't take apart, and people do. */
const PLAIN: Record<string, string> = {
  ø: 'o',
  ł: 'l',
  đ: 'd',
  ð: 'd',
  ħ: 'h',
  ŧ: 't',
  æ: 'ae',
  œ: 'oe',
  þ: 'th',
  [TATWEEL]: '',
}

/**
 * Makes texts comparable whoever typed them: compatibility forms, case, the diacritics of Latin, Greek and Cyrillic, the
 * points of Hebrew and Arabic, and what can't be seen make no difference.
 */
export function fold(original: string): Folded {
  if (ASCII.test(original)) {
    return { text: original.toLowerCase(), startOf: (unit) => unit, endOf: (unit) => unit + 1 }
  }
  let text = ''
  const starts: number[] = []
  const ends: number[] = []
  for (const { 0: cluster, index } of original.matchAll(CLUSTER)) {
    const folded = remembered(cluster)
    text += folded
    for (let i = 0; i < folded.length; i += 1) {
      starts.push(index)
      ends.push(index + cluster.length)
    }
  }
  return { text, startOf: (unit) => starts[unit]!, endOf: (unit) => ends[unit]! }
}

const CLUSTERS_KEPT = 20_000
const known = new Map<string, string>()

function remembered(cluster: string): string {
  const found = known.get(cluster)
  if (found !== undefined) return found
  const folded = foldCluster(cluster)
  if (known.size >= CLUSTERS_KEPT) known.clear()
  known.set(cluster, folded)
  return folded
}

function foldCluster(cluster: string): string {
  let text = cluster.replace(IGNORABLE, '').normalize('NFKD')
  if (MARKS_ARE_OPTIONAL.test(text)) text = text.replace(MARK, '')
  // There and back: ß becomes ss, and a final sigma a sigma.
  text = text.toUpperCase().toLowerCase()
  const plain = [...text].map((character) => PLAIN[character] ?? character).join('')
  const folded = plain.normalize('NFKC')
  // What becomes letters was none before: the sign after a name is no part of it.
  return SYMBOL.test(cluster) && !SYMBOL.test(folded) ? ` ${folded} ` : folded
}
