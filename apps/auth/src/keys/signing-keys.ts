import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { deleteSigningKeys, insertSigningKey, retireSigningKeys, type SigningKeyRow } from './queries.ts'

export const ALGORITHM = 'Ed25519'
/** How long an access token is good for. */
export const LIFETIME_S = 5 * 60
/** A new key signs nothing for as long as others may keep the list of keys: by then everybody has it. */
export const PUBLISHED_AHEAD_MS = 5 * 60_000
// Beyond the life of the last token that it signed, for clocks that differ.
const KEPT_RETIRED_MS = LIFETIME_S * 1000 + 5 * 60_000

/** What a signing key's private half is sealed for. */
export const signingKeyContext = (id: string) => `signing-key:${id}`

/** The newest that has been published for long enough, else the oldest. They come oldest first. */
export const signingKeyAt = <K extends { createdAt: Date }>(keys: K[], now: Date): K | undefined =>
  keys.findLast(({ createdAt }) => createdAt.getTime() + PUBLISHED_AHEAD_MS <= now.getTime()) ?? keys[0]

export async function newSigningKey(keyring: Keyring, now: Date): Promise<Omit<SigningKeyRow, 'retiredAt'>> {
  const pair = (await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as CryptoKeyPair
  const privateKey = new Uint8Array(await crypto.subtle.exportKey('pkcs8', pair.privateKey))
  const { x } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  const id = newId()
  const { dataKeyId, sealed } = keyring.seal(privateKey, signingKeyContext(id))
  return { id, publicKey: x!, privateKey: sealed, dataKeyId, createdAt: now }
}

/** Publishes a new signing key, which signs from `signsFrom` on; the others are retired then, and deleted later. */
export async function rotateSigningKey(
  tx: ServerDetailsExecutor,
  keyring: Keyring,
  now: Date,
): Promise<{ id: string; signsFrom: Date }> {
  const key = await newSigningKey(keyring, now)
  const signsFrom = new Date(now.getTime() + PUBLISHED_AHEAD_MS)
  await retireSigningKeys(tx, signsFrom)
  await insertSigningKey(tx, key)
  return { id: key.id, signsFrom }
}

/** Deletes the keys that no living token can have been signed with. */
export const pruneSigningKeys = (db: ServerDetailsExecutor, now: Date): Promise<void> =>
  deleteSigningKeys(db, new Date(now.getTime() - KEPT_RETIRED_MS))
