import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

const NONCE_BYTES = 12
const TAG_BYTES = 16

/** An opaque random token, base64url; 32 bytes of entropy unless told otherwise. */
export const randomToken = (bytes = 32): string => randomBytes(bytes).toString('base64url')

/** HMAC-SHA256: how a token that is only ever compared is kept (RFC 2104). */
export const keyedHash = (key: Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** Compares in a time that depends on neither input's content. */
export function equalSecrets(a: string | Uint8Array, b: string | Uint8Array): boolean {
  // Hashing both first makes the lengths equal, which timingSafeEqual insists on, and hides them.
  const key = randomBytes(32)
  const digest = (value: string | Uint8Array) => createHmac('sha256', key).update(value).digest()
  return timingSafeEqual(digest(a), digest(b))
}

/** A 32-byte key for one purpose, derived from a master key by HKDF-SHA256 (RFC 5869). */
export const deriveKey = (master: Uint8Array, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', master, new Uint8Array(), `conntext/${purpose}`, 32))

/**
 * AES-256-GCM: nonce (12 bytes), ciphertext, tag (16 bytes) in one buffer. `context` is authenticated but not kept:
 * a value sealed for one row cannot be opened as another's.
 */
export function seal(key: Uint8Array, plain: string | Uint8Array, context: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context))
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** Opens what `seal` made. @throws when the key, the context or a single bit is wrong. */
export function unseal(key: Uint8Array, sealed: Uint8Array, context: string): Buffer {
  const data = Buffer.from(sealed)
  if (data.length < NONCE_BYTES + TAG_BYTES) throw new Error('sealed value is too short')
  const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, NONCE_BYTES))
  decipher.setAAD(Buffer.from(context)).setAuthTag(data.subarray(-TAG_BYTES))
  return Buffer.concat([decipher.update(data.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()])
}
