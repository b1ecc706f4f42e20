import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_ISSUER, type AccessClaims, type JsonWebKeySet } from '@conntext/contracts'
import { type Clock, isWithin } from '@conntext/kernel'
import { createLocalJWKSet, errors, jwtVerify } from 'jose'

const REMEMBERED = 10_000
// Whoever makes up key names must not make us ask for keys with every request; new ones are published ahead of use.
const LOOK_AGAIN_AFTER_MS = 1_000
// Nobody tells when a key is withdrawn.
const KEYS_MAX_AGE_MS = 5 * 60_000
/** Nothing is good for longer: an ended session is remembered for no longer either. */
export const LONGEST_LIFE_MS = 3_600_000

type LocalKeys = ReturnType<typeof createLocalJWKSet>

/**
 * Verifies access tokens (JWT, Ed25519) without asking anybody: the keys are fetched every few minutes, and when a token
 * names one that isn't known. A token that was good is remembered until it expires.
 */
export class TokenVerifier {
  readonly #remembered = new Map<string, AccessClaims>()
  #keys: LocalKeys | undefined
  #fetching: Promise<LocalKeys> | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY

  constructor(
    private readonly fetchKeys: () => Promise<JsonWebKeySet>,
    private readonly clock: Clock,
    private readonly options = { remembered: REMEMBERED },
  ) {}

  /** The claims; undefined for a token that is wrong or has expired. Fails only when the keys can't be had. */
  async verify(token: string): Promise<AccessClaims | undefined> {
    const known = this.#remembered.get(token)
    if (known) {
      if (this.#isTimely(known)) return known
      this.#remembered.delete(token)
      return undefined
    }
    const claims = await this.#check(token)
    if (claims) this.#remember(token, claims)
    return claims
  }

  async #check(token: string, again = false): Promise<AccessClaims | undefined> {
    const keys = await this.#current()
    try {
      const { payload } = await jwtVerify<AccessClaims>(token, keys, {
        algorithms: ['EdDSA'],
        issuer: ACCESS_TOKEN_ISSUER,
        audience: ACCESS_TOKEN_AUDIENCE,
        currentDate: this.clock.now(),
        requiredClaims: ['sub', 'sid', 'exp'],
      })
      return this.#isTimely(payload) ? payload : undefined
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || again) return undefined
      if (!this.#mayLookAgain()) return undefined
      this.#keys = await this.#load()
      return this.#check(token, true)
    }
  }

  /** What was made while the clock was ahead by a day would live for that day. */
  #isTimely({ exp }: AccessClaims): boolean {
    const left = exp * 1000 - this.clock.now().getTime()
    return left > 0 && left <= LONGEST_LIFE_MS
  }

  /** The keys as they were a few minutes ago at most; older ones while none can be had. */
  async #current(): Promise<LocalKeys> {
    this.#keys ??= await this.#load()
    if (this.#isWithin(KEYS_MAX_AGE_MS, this.#fetchedAt) || !this.#mayLookAgain()) return this.#keys
    const known = this.#keys
    this.#keys = await this.#load().catch(() => known)
    return this.#keys
  }

  #mayLookAgain(): boolean {
    return this.#fetching !== undefined || !this.#isWithin(LOOK_AGAIN_AFTER_MS, this.#triedAt)
  }

  #isWithin(ms: number, since: number): boolean {
    return isWithin(ms, since, this.clock.now().getTime())
  }

  #load(): Promise<LocalKeys> {
    if (!this.#fetching) this.#triedAt = this.clock.now().getTime()
    this.#fetching ??= this.fetchKeys()
      .then((keys) => {
        this.#fetchedAt = this.clock.now().getTime()
        return createLocalJWKSet(keys)
      })
      .finally(() => {
        this.#fetching = undefined
      })
    return this.#fetching
  }

  #remember(token: string, claims: AccessClaims): void {
    if (this.#remembered.size >= this.options.remembered) {
      const oldest = this.#remembered.keys().next().value
      if (oldest !== undefined) this.#remembered.delete(oldest)
    }
    this.#remembered.set(token, claims)
  }
}
