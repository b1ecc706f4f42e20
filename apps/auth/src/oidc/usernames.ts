import { isReservedUsername } from '../users/users.ts'
import type { Profile } from './relying-party.ts'

const MAX_LENGTH = 32
const FALLBACK = 'member'
const NUMBERED = 20

// Letters that NFKD leaves whole.
const LETTERS: Record<string, string> = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th', ı: 'i' }

/** A text as a user name may be: what else there is in it becomes `-`, accents go. */
function fit(text: string): string {
  const plain = text
    .normalize('NFKD')
    .replace(/\p{Mark}/gu, '')
    .replace(/[ßæœøłđðþı]/gi, (letter) => LETTERS[letter.toLowerCase()]!)
  return plain
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|-+$/g, '')
    .slice(0, MAX_LENGTH)
}

/**
 * User names for who comes from a provider, the best first: what they are called there, or what their address begins
 * with; then the same with a number, and in the end with one that nobody has.
 */
export function* usernamesFor(profile: Profile): Generator<string> {
  for (const name of candidates(profile)) if (!isReservedUsername(name)) yield name
}

function* candidates({ preferredUsername, email }: Profile): Generator<string> {
  const wanted = [preferredUsername?.split('@')[0], email?.split('@')[0], FALLBACK].map((text) => fit(text ?? ''))
  const base = wanted.find((name) => name.length >= 2)!
  const numbered = (suffix: string) => `${base.slice(0, MAX_LENGTH - suffix.length)}${suffix}`
  yield base
  for (let i = 2; i <= NUMBERED; i += 1) yield numbered(`-${i}`)
  yield numbered(`-${crypto.getRandomValues(new Uint32Array(1))[0]}`)
}
