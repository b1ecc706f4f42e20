import { type Client, createClient } from './generated/client/index.ts'
import { refresh as exchange } from './generated/sdk.gen.ts'
import type { Authenticated } from './generated/types.gen.ts'
import { unwrap } from './problem.ts'

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

/** One person's access to one server: pass `client` to the generated calls. */
export class Api {
  readonly client: Client
  readonly baseUrl: string
  #tokens: Tokens | undefined
  #refreshing: Promise<Tokens> | undefined

  constructor(private readonly options: ApiOptions) {
    this.baseUrl = options.baseUrl.replace(/\/$/, '')
    this.#tokens = options.tokens
    this.client = createClient({
      baseUrl: this.baseUrl,
      auth: () => this.accessToken().catch(() => undefined),
      ...(options.fetch ? { fetch: options.fetch } : {}),
    })
  }

  get tokens(): Tokens | undefined {
    return this.#tokens
  }

  /** Takes over the answer of register or log in. */
  use(tokens: Tokens): void {
    this.#tokens = tokens
    this.options.onTokens?.(tokens)
  }

  /** A token that is good for the next half minute; refreshes when it must, once for all who ask at the same time. */
  async accessToken(): Promise<string> {
    if (!this.#tokens) throw new Error('nobody is logged in')
    if (Date.parse(this.#tokens.accessTokenExpiresAt) - EARLY_MS > Date.now()) return this.#tokens.accessToken
    return (await this.refresh()).accessToken
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
    const tokens = await unwrap(exchange({ client: this.client, body: { refreshToken } }))
    this.use(tokens)
    return tokens
  }
}
