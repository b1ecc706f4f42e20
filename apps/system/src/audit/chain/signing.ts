import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signWith,
  verify as verifyWith,
} from 'node:crypto'
import { base64 } from './header.ts'

export type KeyPair = { id: string; publicKey: Uint8Array; privateKey: Buffer }

/** The thumbprint of an Ed25519 key (RFC 7638): a key's id is no other's. */
export const thumbprint = (publicKey: Uint8Array): string =>
  createHash('sha256')
    .update(`{"crv":"Ed25519","kty":"OKP","x":"${Buffer.from(publicKey).toString('base64url')}"}`)
    .digest('base64url')

export function newKeyPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url')
  return { id: thumbprint(raw), publicKey: raw, privateKey: privateKey.export({ format: 'der', type: 'pkcs8' }) }
}

export const importPrivateKey = (pkcs8: Uint8Array): KeyObject =>
  createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })

export const importPublicKey = (raw: Uint8Array): KeyObject =>
  createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(raw).toString('base64url') },
    format: 'jwk',
  })

export const sign = (key: KeyObject, text: string): Buffer => signWith(null, Buffer.from(text), key)

export const isSignedBy = (key: KeyObject, text: string, signature: Uint8Array): boolean =>
  verifyWith(null, Buffer.from(text), key, signature)

// What a key signs besides checkpoints, whose texts begin otherwise: none can pass for another.

/** A new key, signed by the one that it follows. */
export const endorsementText = (log: string, { id, publicKey }: { id: string; publicKey: Uint8Array }): string =>
  `conntext/audit-key\n${JSON.stringify({ key: id, log, publicKey: base64(publicKey), v: 1 })}`

/** That retention has removed these events of a batch: a bit for each. */
export const cutText = (
  log: string,
  { batch, removed, at }: { batch: number; removed: Uint8Array; at: Date },
): string =>
  `conntext/audit-cut\n${JSON.stringify({ at: at.toISOString(), batch, log, removed: base64(removed), v: 1 })}`

/** That a person's data has been removed. */
export const erasureText = (log: string, { subject, at }: { subject: string; at: Date }): string =>
  `conntext/audit-erasure\n${JSON.stringify({ at: at.toISOString(), log, subject, v: 1 })}`
