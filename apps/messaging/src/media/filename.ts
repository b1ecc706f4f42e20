const MAX_BYTES = 255
const LONGEST_EXTENSION = 32
export const DEFAULT_FILENAME = 'file'

// Control characters, and those that make a name read in another direction than it is written ("exe.gpj").
const UNWANTED = /[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/gu

/** The last part of a name as somebody gave it, safe to show and to save: at most 255 bytes, its extension kept. */
export function sanitiseFilename(given: string | undefined): string {
  const last = (given ?? '').toWellFormed().split(/[/\\]/).at(-1)!
  const name = last.replace(UNWANTED, '').trim()
  if (name === '' || name === '.' || name === '..') return DEFAULT_FILENAME
  return shorten(name)
}

function shorten(name: string): string {
  if (Buffer.byteLength(name) <= MAX_BYTES) return name
  const dot = name.lastIndexOf('.')
  const extension = dot > 0 ? name.slice(dot) : ''
  const kept = Buffer.byteLength(extension) <= LONGEST_EXTENSION ? extension : ''
  return cutToBytes(kept ? name.slice(0, dot) : name, MAX_BYTES - Buffer.byteLength(kept)) + kept
}

/** As many whole characters as fit. */
function cutToBytes(text: string, bytes: number): string {
  const target = new Uint8Array(bytes)
  const { read } = new TextEncoder().encodeInto(text, target)
  return text.slice(0, read)
}
