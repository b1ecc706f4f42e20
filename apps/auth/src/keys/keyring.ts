import type { ServerDetailsExecutor } from '@conntext/db-server-details'
import { deriveKey, newId, StartError, seal, unseal } from '@conntext/kernel'
import { insertDataKey, listDataKeys } from './queries.ts'

/** A value that only the data key named can open. */
export type Sealed = { dataKeyId: string; sealed: Uint8Array }

const KEY_BYTES = 32

/**
 * The data keys: what must be readable later is sealed under them, and they are kept wrapped by a key derived from
 * the master key. What is only ever compared is hashed under keys derived from the master key, one for each purpose.
 */
export class Keyring {
  readonly #masterKey: Uint8Array
  readonly #keys = new Map<string, Uint8Array>()
  #newest: { id: string; key: Uint8Array } | undefined

  constructor(masterKey: Uint8Array) {
    if (masterKey.length !== KEY_BYTES) throw new Error(`The master key must be ${KEY_BYTES} bytes`)
    this.#masterKey = masterKey
  }

  /**
   * Unwraps the data keys, and makes the first where there is none.
   * @throws when the master key isn't the one that they were wrapped with
   */
  async load(tx: ServerDetailsExecutor): Promise<void> {
    const wrapping = deriveKey(this.#masterKey, 'auth/data-keys')
    for (const { id, wrapped } of await listDataKeys(tx)) this.#add(id, unwrap(wrapping, wrapped, id))
    if (this.#newest) return
    const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES))
    const id = newId()
    await insertDataKey(tx, { id, wrapped: seal(wrapping, key, wrapContext(id)) })
    this.#add(id, key)
  }

  /** A key for keyed hashes of one purpose. */
  hashKey(purpose: string): Uint8Array {
    return deriveKey(this.#masterKey, `auth/${purpose}`)
  }

  /** Seals under the newest data key; see `seal` of the kernel for `context`. */
  seal(plain: string | Uint8Array, context: string): Sealed {
    if (!this.#newest) throw new Error('no data key has been loaded')
    return { dataKeyId: this.#newest.id, sealed: seal(this.#newest.key, plain, context) }
  }

  /** @throws when the data key isn't there, or the value was sealed for another context */
  open({ dataKeyId, sealed }: Sealed, context: string): Buffer {
    const key = this.#keys.get(dataKeyId)
    if (!key) throw new Error(`there is no data key ${dataKeyId}`)
    return unseal(key, sealed, context)
  }

  #add(id: string, key: Uint8Array): void {
    this.#keys.set(id, key)
    this.#newest = { id, key }
  }
}

const wrapContext = (id: string) => `data-key:${id}`

function unwrap(wrapping: Uint8Array, wrapped: Uint8Array, id: string): Uint8Array {
  try {
    return unseal(wrapping, wrapped, wrapContext(id))
  } catch (cause) {
    throw new StartError(
      "The master key doesn't open this server's data keys: it isn't the one that the database was set up with. " +
        'Start with the master key that belongs to this database, from the same backup.',
      { cause },
    )
  }
}
