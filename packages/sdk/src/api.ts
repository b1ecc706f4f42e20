import { type Client, createClient } from './generated/client/index.ts'
import { refresh as exchange } from './generated/sdk.gen.ts'
import type { Authenticated } from './generated/types.gen.ts'
import { lifetimeOf } from './lifetime.ts'
import { type Moment, moment, since } from './moment.ts'
import { ProblemError, unwrap } from './problem.ts'

/** What register, log in and refresh answer, as far as it has to be kept. */
export type Tokens = Pick<
  Authenticated,
  'accessToken' | 'accessTokenExpiresAt' | 'refreshToken' | 'refreshTokenExpiresAt'
>

export type ApiOptions = {
  /** Where the server is, such as `http://localhost:8080`. */
  baseUrl: string
  tokens?: Tokens
  /** Called with new tokens, to be kept: a refresh token works once. */
  onTokens?: (tokens: Tokens) => void
  fetch?: typeof fetch
}

// Refreshed a little early: a token must not expire on its way.
const EARLY_MS = 30_000
const REFUSED = 401

/** One person's access to one server: pass `client` to the generated calls. */
export class Api {
  readonly client: Client
  readonly baseUrl: string
  #tokens: Tokens | undefined
  #refreshing: Promise<Tokens> | undefined
  /** The refresh token that the server would not have: each request would show it again. */
  #refused: { refreshToken: string; error: ProblemError } | undefined
  /** When the tokens came from the server; undefined for those that were kept from an earlier time. */
  #received: Moment | undefined
  /** By how much the server's clock is ahead, as far as answers have told. */
  #aheadMs = 0

  constructor(private readonly options: ApiOptions) {
    this.baseUrl = options.baseUrl.replace(/\/$/, '')
    this.#tokens = options.tokens
    this.client = createClient({
      baseUrl: this.baseUrl,
      auth: () => this.accessToken().catch(() => undefined),
      ...(options.fetch ? { fetch: options.fetch } : {}),
    })
    this.client.interceptors.response.use((response) => {
      const date = Date.parse(response.headers.get('date') ?? '')
      if (!Number.isNaN(date)) this.#aheadMs = date - Date.now()
      return response
    })
  }

  /** The one that was given, or the platform's. */
  get fetch(): typeof fetch {
    return this.options.fetch ?? globalThis.fetch
  }

  get tokens(): Tokens | undefined {
    return this.#tokens
  }

  /** Takes over the answer of register or log in. */
  use(tokens: Tokens): void {
    this.#tokens = tokens
    this.#received = moment()
    this.options.onTokens?.(tokens)
  }

  /**
   * A token that is good for the next half minute, whatever the time is here; refreshes when it must, once for all who
   * ask at the same time. `refused` is one that the server would not have: then it isn't answered again.
   */
  async accessToken(refused?: string): Promise<string> {
    if (!this.#tokens) throw new Error('nobody is logged in')
    const { accessToken } = this.#tokens
    if (accessToken !== refused && this.#isFresh(this.#tokens)) return accessToken
    return (await this.refresh()).accessToken
  }

  /** By the server's clock: a token says itself for how long it is good, and what came from there came just then. */
  #isFresh({ accessToken, accessTokenExpiresAt }: Tokens): boolean {
    const lifetimeMs = lifetimeOf(accessToken)
    const received = this.#received
    if (!received || lifetimeMs === undefined) {
      return Date.parse(accessTokenExpiresAt) - EARLY_MS > Date.now() + this.#aheadMs
    }
    return since(received) < lifetimeMs - Math.min(EARLY_MS, lifetimeMs / 3)
  }

  /** Exchanges the refresh token for new ones. */
  refresh(): Promise<Tokens> {
    this.#refreshing ??= this.#exchange().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #exchange(): Promise<Tokens> {
    if (!this.#tokens) throw new Error('nobody is logged in')
    const { refreshToken } = this.#tokens
    if (this.#refused?.refreshToken === refreshToken) throw this.#refused.error
    try {
      const tokens = await unwrap(exchange({ client: this.client, body: { refreshToken } }))
      this.use(tokens)
      return tokens
    } catch (error) {
      if (error instanceof ProblemError && error.status === REFUSED) this.#refused = { refreshToken, error }
      throw error
    }
  }
}
