import { randomInt } from 'node:crypto'

/** How many there are in a set. */
export const RECOVERY_CODES = 10

// Crockford's base 32: no letter in it is taken for a digit or another letter. Twelve of them are 60 bits.
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const GROUPS = 3
const GROUP_LENGTH = 4
const CODE = new RegExp(`^[${ALPHABET}]{${GROUPS * GROUP_LENGTH}}$`)

const group = () => Array.from({ length: GROUP_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')

/** As it is shown: `k3xq-07mz-9dfa`. */
export const newRecoveryCode = (): string => Array.from({ length: GROUPS }, group).join('-')

/** What a code is hashed as, from how somebody typed it; undefined for what is none. */
export function recoveryCodeIn(text: string): string | undefined {
  const code = text.toLowerCase().replace(/[\s-]/g, '').replaceAll('o', '0').replace(/[il]/g, '1')
  return CODE.test(code) ? code : undefined
}
