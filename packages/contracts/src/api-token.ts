/** What API tokens begin with, so that scanners for leaked secrets know them; no access token does. */
export const API_TOKEN_PREFIX = 'conntext_'

const ENTROPY_BYTES = 32
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
// As many digits as the largest number of so many bytes takes.
const SECRET_DIGITS = 43
const CHECKSUM_DIGITS = 6
const FORM = new RegExp(`^${API_TOKEN_PREFIX}[0-9A-Za-z]{${SECRET_DIGITS + CHECKSUM_DIGITS}}$`)

function base62(number: bigint, digits: number): string {
  let text = ''
  for (let rest = number; text.length < digits; rest /= 62n) text = DIGITS[Number(rest % 62n)] + text
  return text
}

const checksum = (text: string): string => base62(BigInt(Bun.hash.crc32(text)), CHECKSUM_DIGITS)

/**
 * A new API token, in the manner of GitHub's: the prefix, 256 random bits in base 62, and the CRC-32 (IEEE) of all that,
 * in base 62 as well. One double click selects it, a scanner finds it, and a mistyped or made-up one is told apart
 * without asking a database. The checksum is no secret: whoever likes can make up tokens that have a right one.
 */
export function newApiToken(): string {
  const random = BigInt(`0x${Buffer.from(crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES))).toString('hex')}`)
  const body = API_TOKEN_PREFIX + base62(random, SECRET_DIGITS)
  return body + checksum(body)
}

export const isApiToken = (token: string): boolean => token.startsWith(API_TOKEN_PREFIX)

/** Whether it is written as API tokens are, its checksum included. */
export const isWellFormedApiToken = (token: string): boolean =>
  FORM.test(token) && checksum(token.slice(0, -CHECKSUM_DIGITS)) === token.slice(-CHECKSUM_DIGITS)
