import type { Executor } from '@conntext/database'
import { deriveKey, keyedHash, newId, StartError, seal, unseal } from '@conntext/kernel'
import { insertDataKey, listDataKeys } from './queries.ts'
import type { DataKeyTable } from './table.ts'

/** A value that only the data key named can open. */
export type Sealed = { dataKeyId: string; sealed: Uint8Array }

/** HMAC-SHA256 under a key that is kept elsewhere. */
export type KeyedHash = (text: string) => Uint8Array

const KEY_BYTES = 32

type Options = {
  table: DataKeyTable
  /** 32 bytes. */
  masterKey: Uint8Array
  /** Whose keys they are: no service's wrapping opens another's. */
  service: string
}

/**
 * The data keys of one service: what must be readable later is sealed under them, and they are kept wrapped by a key
 * derived from the master key. What is only ever compared is hashed under keys derived from a root of its own, which is
 * kept in the same way: neither has to change when the master key does.
 */
export class Keyring {
  readonly #keys = new Map<string, Uint8Array>()
  #newest: { id: string; key: Uint8Array } | undefined
  #root: Uint8Array | undefined

  constructor(private readonly options: Options) {
    if (options.masterKey.length !== KEY_BYTES) throw new Error(`The master key must be ${KEY_BYTES} bytes`)
  }

  /**
   * Unwraps the data keys, and makes the first where there is none. Under a lock of the caller's, so that two instances
   * don't make two.
   * @throws StartError when the master key isn't the one that they were wrapped with
   */
  async load(tx: Executor): Promise<void> {
    const { table, masterKey, service } = this.options
    const wrapping = deriveKey(masterKey, `${service}/data-keys`)
    for (const { id, purpose, wrapped, retiredAt } of await listDataKeys(tx, table)) {
      const key = unwrap(wrapping, wrapped, id)
      if (purpose === 'hash') this.#root = key
      else this.#add(id, key, retiredAt !== null)
    }
    const make = async (purpose: 'seal' | 'hash') => {
      const key = crypto.getRandomValues(new Uint8Array(KEY_BYTES))
      const id = newId()
      await insertDataKey(tx, table, { id, purpose, wrapped: seal(wrapping, key, wrapContext(id)) })
      return { id, key }
    }
    this.#root ??= (await make('hash')).key
    if (this.#newest) return
    const { id, key } = await make('seal')
    this.#add(id, key, false)
  }

  /** A key for one purpose that no rotation changes. */
  deriveKey(purpose: string): Uint8Array {
    if (!this.#root) throw new Error('no data key has been loaded')
    return deriveKey(this.#root, purpose)
  }

  /** The keyed hash of one purpose; it can be had before the keys are loaded, and used after. */
  hasher(purpose: string): KeyedHash {
    let key: Uint8Array | undefined
    return (text) => {
      key ??= this.deriveKey(purpose)
      return keyedHash(key, text)
    }
  }

  /** Seals under the newest data key; see `seal` of the kernel for `context`. */
  seal(plain: string | Uint8Array, context: string): Sealed {
    if (!this.#newest) throw new Error('no data key has been loaded')
    return { dataKeyId: this.#newest.id, sealed: seal(this.#newest.key, plain, context) }
  }

  /** @throws when the data key isn't there, or the value was sealed for another context */
  async open({ dataKeyId, sealed }: Sealed, context: string): Promise<Buffer> {
    const key = this.#keys.get(dataKeyId)
    if (!key) throw new Error(`there is no data key ${dataKeyId}`)
    return unseal(key, sealed, context)
  }

  #add(id: string, key: Uint8Array, retired: boolean): void {
    this.#keys.set(id, key)
    if (!retired) this.#newest = { id, key }
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
