import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { randomToken } from '@conntext/kernel'

/** What is kept of a secret: see `webhooks.secretHash`. */
export const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest()

export function newSecret(): { secret: string; secretHash: Buffer } {
  const secret = randomToken()
  return { secret, secretHash: hashOf(secret) }
}

// Of nothing.
const NO_HASH = randomBytes(32)

/** Takes as long for a webhook that isn't there. */
export function isSecret(secret: string, hash: Uint8Array | undefined): boolean {
  const matches = timingSafeEqual(hashOf(secret), hash ?? NO_HASH)
  return matches && hash !== undefined
}
