import type { Executor } from '@conntext/database'
import { answerWithin, deriveKey, keyedHash, type Logger, newId, StartError, seal, unseal } from '@conntext/kernel'
import { keyringErrors } from './errors.ts'
import { type DataKeyRow, insertDataKey, listDataKeys, retireSealKeys } from './queries.ts'
import type { DataKeyTable } from './table.ts'
import { candidates, type MasterKey, newKey, unwrap, wrap } from './wrapping.ts'

/** A value that only the data key named can open. */
export type Sealed = { dataKeyId: string; sealed: Uint8Array }

/** HMAC-SHA256 under a key that is kept elsewhere. */
export type KeyedHash = (text: string) => Uint8Array

/** How soon after a rotation everybody who runs seals under the new key. */
export const TAKEN_UP_WITHIN_MS = 5_000
const LOOK_EVERY_MS = 4_000
const LOOK_WITHIN_MS = 5_000
/**
 * Whoever could not look for so long seals nothing: the key that they know may have been retired, and retired keys are
 * deleted a day later (`KEPT_RETIRED` in rotate.ts).
 */
const STALE_MS = 60 * 60_000

export type KeyringOptions = {
  table: DataKeyTable
  /** Where `table` is; the keys are looked for in it again and again. */
  db: Executor
  masterKey: MasterKey
  /** Whose keys they are: no service's wrapping opens another's. */
  service: string
  log: Logger
  /** Milliseconds of the real time, which passes for keys whatever a test makes of the service's clock. */
  now?: () => number
}

/**
 * The data keys of one service: what must be readable later is sealed under them, and they are kept wrapped by a key
 * derived from the master key. What is only ever compared is hashed under keys derived from a root of its own, which is
 * kept in the same way: neither has to change when the master key does.
 *
 * Keys may be rotated elsewhere at any time: one that isn't known is looked for when it is met, and the newest every few
 * seconds.
 */
export class Keyring {
  readonly options: Required<KeyringOptions>
  #keys = new Map<string, Uint8Array>()
  #newest: { id: string; key: Uint8Array } | undefined
  #root: Uint8Array | undefined
  #lookedAt = 0
  #looking: Promise<void> | undefined
  #timer: Timer | undefined
  readonly #told = new Set<string>()

  constructor(options: KeyringOptions) {
    this.options = { now: Date.now, ...options }
    // A master key of a wrong length is told at once.
    if (typeof options.masterKey !== 'function') candidates(options.masterKey)
  }

  /**
   * Unwraps the data keys, and makes the first where there is none. Under a lock of the caller's, so that two instances
   * don't make two.
   * @throws StartError when no key of the master key's opens one of them
   */
  async load(tx: Executor): Promise<void> {
    const rows = await listDataKeys(tx, this.options.table)
    if (this.#take(rows).length > 0) throw wrongMasterKey()
    this.#root ??= (await this.#make(tx, 'hash', rows)).key
    if (this.#newest) return
    this.#newest = await this.#make(tx, 'seal', rows)
    this.#keys.set(this.#newest.id, this.#newest.key)
    this.#lookedAt = this.options.now()
  }

  /** Looks for keys made elsewhere, every few seconds, until `stop`. */
  start(): void {
    this.#timer ??= setInterval(() => this.#lookSoon(), LOOK_EVERY_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#looking?.catch(() => {})
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

  /**
   * Seals under the newest data key; see `seal` of the kernel for `context`.
   * @throws keyring.stale (503) when it could not be looked for in an hour
   */
  seal(plain: string | Uint8Array, context: string): Sealed {
    if (!this.#newest) throw new Error('no data key has been loaded')
    if (this.options.now() - this.#lookedAt > STALE_MS) {
      this.#lookSoon()
      throw keyringErrors.stale({ retryAfter: 1 })
    }
    return { dataKeyId: this.#newest.id, sealed: seal(this.#newest.key, plain, context) }
  }

  /** @throws when the data key isn't there, or the value was sealed for another context */
  async open({ dataKeyId, sealed }: Sealed, context: string): Promise<Buffer> {
    if (!this.#keys.has(dataKeyId)) await this.look()
    const key = this.#keys.get(dataKeyId)
    if (!key) throw new Error(`there is no data key ${dataKeyId} that could be opened`)
    return unseal(key, sealed, context)
  }

  /** Takes up what has been made or deleted elsewhere; those who ask meanwhile wait for the same answer. */
  look(): Promise<void> {
    // In bounded time: whoever asks within a transaction holds a connection, and this takes another.
    this.#looking ??= answerWithin(LOOK_WITHIN_MS, () => listDataKeys(this.options.db, this.options.table))
      .then((rows) => this.#report(this.#take(rows)))
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /** Makes a new key and retires the others; answers its id. Once that is committed, whoever looks seals under it. */
  async renew(tx: Executor): Promise<string> {
    const rows = await listDataKeys(tx, this.options.table)
    await retireSealKeys(tx, this.options.table)
    return (await this.#make(tx, 'seal', rows)).id
  }

  #lookSoon(): void {
    this.look().catch((error: unknown) =>
      this.options.log.warn({ err: error }, 'new data keys could not be looked for; it will be tried again'),
    )
  }

  /** Answers the ids of those that can't be opened. */
  #take(rows: DataKeyRow[]): string[] {
    const { service, masterKey, now } = this.options
    const keys = new Map<string, Uint8Array>()
    const shut: string[] = []
    let newest: DataKeyRow | undefined
    for (const row of rows) {
      if (row.purpose === 'seal' && row.retiredAt === null) newest = row
      const known = row.purpose === 'hash' ? this.#root : this.#keys.get(row.id)
      const key = known ?? unwrap(candidates(masterKey), service, row)?.key
      if (!key) shut.push(row.id)
      else if (row.purpose === 'hash') this.#root = key
      else keys.set(row.id, key)
    }
    this.#keys = keys
    const key = newest && keys.get(newest.id)
    if (!newest || !key) return shut
    this.#newest = { id: newest.id, key }
    this.#lookedAt = now()
    return shut
  }

  #report(shut: string[]): void {
    for (const id of shut) {
      if (this.#told.has(id)) continue
      this.#told.add(id)
      const { service } = this.options
      this.options.log.error(
        { service, dataKeyId: id },
        "a data key can't be opened: it was made under a master key that this server doesn't have. " +
          'Start it again with the master key that is in force',
      )
    }
  }

  async #make(tx: Executor, purpose: 'seal' | 'hash', rows: DataKeyRow[]): Promise<{ id: string; key: Uint8Array }> {
    const { table, service, masterKey } = this.options
    const all = candidates(masterKey)
    const inForce = rows.map((row) => unwrap(all, service, row)?.masterKey).findLast(Boolean) ?? all[0]!
    const made = { id: newId(), key: newKey() }
    await insertDataKey(tx, table, { id: made.id, purpose, wrapped: wrap(inForce, service, made) })
    return made
  }
}

const wrongMasterKey = () =>
  new StartError(
    "The master key doesn't open this server's data keys: it isn't the one that the database was set up with. " +
      'Start with the master key that belongs to this database, from the same backup.',
  )
