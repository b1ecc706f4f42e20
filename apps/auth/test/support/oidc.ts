import type { Authenticated, MfaRequired, OidcProvider, OidcProviderSettings, Problem } from '@conntext/contracts'
import { users } from '@conntext/db-server-details'
import { eq } from 'drizzle-orm'
import type { AuthServiceDependencies } from '../../src/service.ts'
import { startAuth } from '../stack.ts'
import { type Browser, createBrowser } from './browser.ts'
import { type FalseProvider, startFalseProvider } from './false-provider.ts'
import { CLIENT_ID, CLIENT_SECRET, type OidcPeer, startOidcProvider } from './oidc-provider.ts'

export const PUBLIC_URL = 'http://localhost:8080'

/** Whatever a login can answer. */
export type LoginResult = Authenticated & MfaRequired & Problem

type Start = { returnTo?: string; codeChallenge?: string; inviteCode?: string }
type Journey = Start & { browser?: Browser; provider?: string }

export const callbackUrl = (provider: string) => `${PUBLIC_URL}/v1/auth/oidc/${provider}/callback`
const isCallback = (url: string) => url.startsWith(PUBLIC_URL) && url.includes('/callback?')

export function startUrl(provider: string, query: Start = {}): string {
  const search = new URLSearchParams(query)
  return `${PUBLIC_URL}/v1/auth/oidc/${provider}/start${search.size > 0 ? `?${search}` : ''}`
}

async function read(response: Response) {
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json')
  const body = (isJson ? JSON.parse(text) : undefined) as LoginResult
  return { status: response.status, body, headers: response.headers }
}

/** Where a browser was sent with a result, and the result. */
export function readReturn({ headers, status }: { headers: Headers; status: number }) {
  const [at, fragment] = (headers.get('location') ?? '').split('#')
  return { status, at, result: Object.fromEntries(new URLSearchParams(fragment)) as { code?: string; error?: string } }
}

/** The auth service with an owner who sets up providers, and browsers to log in with. */
export async function startOidc(overrides: Partial<AuthServiceDependencies> = {}) {
  const auth = await startAuth({ publicUrl: PUBLIC_URL, ...overrides })
  const admin = await auth.owner()
  const disposables: AsyncDisposable[] = [auth]

  const setProvider = (id: string, settings: Partial<OidcProviderSettings>, token = admin.accessToken) =>
    auth.request<OidcProvider & Problem>('PUT', `/v1/auth/oidc/providers/${id}`, {
      token,
      body: { name: id, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, ...settings },
    })

  const use = async <T extends OidcPeer | FalseProvider>(id: string, peer: T): Promise<T> => {
    disposables.push(peer)
    const { status, text } = await setProvider(id, { issuer: peer.issuer })
    if (status !== 200) throw new Error(text)
    return peer
  }

  const browser = (): Browser => createBrowser(PUBLIC_URL, (request) => auth.service.app.handle(request))

  /** From the start to the provider and back, up to the callback, which isn't asked for yet. */
  const arrive = (person: string, { browser: by = browser(), provider = 'peer', ...query }: Journey = {}) =>
    by.follow(startUrl(provider, query), person, isCallback)

  /** A whole login; with a place to return to, `readReturn` tells what came there. */
  const logIn = async (person: string, journey: Journey = {}) => {
    const { browser: by = browser() } = journey
    return read(await by.ask(await arrive(person, { ...journey, browser: by })))
  }

  /** Starts a login and answers what the provider is told. */
  const depart = async (provider: string, { browser: by = browser(), ...query }: Journey = {}) => {
    const response = await by.ask(startUrl(provider, query))
    const { searchParams } = new URL(response.headers.get('location')!)
    return { browser: by, state: searchParams.get('state')!, nonce: searchParams.get('nonce')!, sent: searchParams }
  }

  /** The callback as a provider might have made it. */
  const comeBack = async (by: Browser, provider: string, query: Record<string, string>) =>
    read(await by.ask(`${callbackUrl(provider)}?${new URLSearchParams(query)}`))

  /** A login with a false provider, which knows the nonce. */
  const logInFalsely = async (peer: FalseProvider, claims: Record<string, unknown>, journey: Journey = {}) => {
    const departed = await depart('false', journey)
    peer.forgery.claims = { nonce: departed.nonce, ...claims }
    return comeBack(departed.browser, 'false', { code: 'made-up', state: departed.state })
  }

  return {
    ...auth,
    admin,
    setProvider,
    browser,
    arrive,
    logIn,
    depart,
    comeBack,
    logInFalsely,
    /** A real provider, set up. */
    peer: async (id = 'peer') => use(id, await startOidcProvider([callbackUrl(id)])),
    falsePeer: async (id = 'false') => use(id, startFalseProvider(CLIENT_SECRET)),

    exchange: (code: string, codeVerifier?: string) =>
      auth.request<LoginResult>('POST', '/v1/auth/oidc/exchange', {
        body: { code, ...(codeVerifier === undefined ? {} : { codeVerifier }) },
      }),

    /** An account with a password, whose address is verified unless told otherwise. */
    async memberAt(username: string, email: string, verified = true): Promise<Authenticated> {
      const { body } = await auth.register({ username, email })
      const emailVerifiedAt = verified ? new Date() : null
      await auth.database.auth.update(users).set({ emailVerifiedAt }).where(eq(users.id, body.user.id))
      return body
    },

    async [Symbol.asyncDispose]() {
      for (const one of disposables.reverse()) await one[Symbol.asyncDispose]()
    },
  }
}

export type Oidc = Awaited<ReturnType<typeof startOidc>>
