import { type AuthPort, isWellFormedApiToken } from '@conntext/contracts'
import { type Clock, isWithin, keyedHash } from '@conntext/kernel'

export type KnownApiToken = NonNullable<Awaited<ReturnType<AuthPort['identifyToken']>>>

const MAX_AGE_MS = 60_000
const KEPT = 10_000

type Options = {
  identifyToken: AuthPort['identifyToken']
  clock: Clock
  /** Of those that are good, and of those that aren't. */
  kept?: number
}

type Kept<T> = Map<string, { value: T; at: number }>

/**
 * What API tokens stand for, remembered for a minute. What isn't written like one is refused without asking anybody.
 * Those that are good and those that aren't are remembered apart, lest whoever makes some up push the good ones out;
 * neither is kept in clear.
 */
export class ApiTokens {
  readonly #good: Kept<KnownApiToken> = new Map()
  readonly #bad: Kept<null> = new Map()
  readonly #asking = new Map<string, Promise<KnownApiToken | null>>()
  readonly #key = crypto.getRandomValues(new Uint8Array(32))

  constructor(private readonly options: Options) {}

  /** Null for one that is wrong or has been revoked; it may have expired. Fails only when nobody can be asked. */
  async find(token: string): Promise<KnownApiToken | null> {
    if (!isWellFormedApiToken(token)) return null
    const key = keyedHash(this.#key, token).toString('base64')
    const now = this.options.clock.now().getTime()
    const known = this.#good.get(key) ?? this.#bad.get(key)
    if (known && isWithin(MAX_AGE_MS, known.at, now)) return known.value
    const asking = this.#asking.get(key) ?? this.#ask(key, token, now)
    return asking
  }

  #ask(key: string, token: string, now: number): Promise<KnownApiToken | null> {
    const asking = this.options
      .identifyToken({ token })
      .then((found) => {
        this.#good.delete(key)
        if (found) this.#keep(this.#good, key, { value: found, at: now })
        else this.#keep(this.#bad, key, { value: null, at: now })
        return found
      })
      .finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  #keep<T>(kept: Kept<T>, key: string, entry: { value: T; at: number }): void {
    kept.delete(key)
    kept.set(key, entry)
    if (kept.size <= (this.options.kept ?? KEPT)) return
    const oldest = kept.keys().next().value
    if (oldest !== undefined) kept.delete(oldest)
  }
}
