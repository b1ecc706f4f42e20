import { randomBytes, scrypt } from 'node:crypto'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import {
  Decrypter,
  Encrypter,
  generateX25519Identity,
  identityToRecipient,
  type Recipient,
  Stanza,
} from 'age-encryption'
import { BackupError } from './errors.ts'

/** For whom a backup is encrypted: whoever has one of the identities, or knows the passphrase. */
export type Sealing = { recipients: string[] } | { passphrase: string }
/** What opens one. */
export type Secret = { identities: string[] } | { passphrase: string }

// 128 MiB and a few tenths of a second for each guess.
const SCRYPT_LOG_N = 17

/** A key pair of age: the identity opens what is encrypted to the recipient. */
export async function newBackupIdentity(): Promise<{ identity: string; recipient: string }> {
  const identity = await generateX25519Identity()
  return { identity, recipient: await identityToRecipient(identity) }
}

/** Encrypts as age does (age-encryption.org/v1), in bounded memory. @throws BackupError for a recipient that is none */
export async function encrypt(
  plain: ReadableStream<Uint8Array>,
  sealing: Sealing,
): Promise<ReadableStream<Uint8Array>> {
  const encrypter = new Encrypter()
  if ('passphrase' in sealing) encrypter.addRecipient(passphraseRecipient(sealing.passphrase))
  else {
    for (const recipient of sealing.recipients) {
      try {
        encrypter.addRecipient(recipient)
      } catch {
        throw new BackupError('A recipient of backups is not one of age: they begin with age1.')
      }
    }
  }
  return encrypter.encrypt(plain)
}

/** age's stanza for a passphrase. The library's own computes on the thread that everything else waits for. */
const passphraseRecipient = (passphrase: string): Recipient => ({
  async wrapFileKey(fileKey) {
    const salt = randomBytes(16)
    const label = Buffer.from('age-encryption.org/v1/scrypt')
    const key = await derive(passphrase, Buffer.concat([label, salt]))
    const body = chacha20poly1305(key, new Uint8Array(12)).encrypt(fileKey)
    const written = salt.toString('base64').replace(/=+$/, '')
    return [new Stanza(['scrypt', written, String(SCRYPT_LOG_N)], body)]
  },
})

const derive = (passphrase: string, salt: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const cost = { N: 2 ** SCRYPT_LOG_N, r: 8, p: 1, maxmem: 2 ** SCRYPT_LOG_N * 8 * 256 }
    scrypt(passphrase, salt, 32, cost, (error, key) => (error ? reject(error) : resolve(key)))
  })

/**
 * Opens what `encrypt` made, or the program age. Each chunk that comes out is authentic; an end that was cut off is a
 * failure of the stream.
 * @throws BackupError when it is no backup, or the secret doesn't open it
 */
export async function decrypt(sealed: ReadableStream<Uint8Array>, secret: Secret): Promise<ReadableStream<Uint8Array>> {
  const decrypter = new Decrypter()
  if ('passphrase' in secret) decrypter.addPassphrase(secret.passphrase)
  else {
    for (const identity of secret.identities) {
      try {
        decrypter.addIdentity(identity)
      } catch {
        throw new BackupError('An identity is not one of age: they begin with AGE-SECRET-KEY-1.')
      }
    }
  }
  try {
    return await decrypter.decrypt(sealed)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (message.includes('no identity matched')) {
      const what = 'passphrase' in secret ? 'The passphrase is wrong' : 'None of the identities opens this backup'
      throw new BackupError(`${what}, or it was encrypted in the other way.`)
    }
    throw new BackupError(`This is no backup, or its beginning is damaged (${message}).`)
  }
}
