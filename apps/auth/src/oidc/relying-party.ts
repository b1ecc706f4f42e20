import { AppError, answerWithin, type Clock, type Logger } from '@conntext/kernel'
import * as client from 'openid-client'
import { createBoundedFetch } from './bounded-fetch.ts'
import { isProtected, readIssuer } from './endpoint.ts'
import { oidcErrors } from './errors.ts'

/** For how long what a provider says of itself is believed. */
const DISCOVERED_MS = 60 * 60_000
const TIMEOUT_MS = 10_000
// OpenID Connect Core 1.0, section 2: a subject has at most 255 ASCII characters.
const SUBJECT = /^[ -~]{1,255}$/
// RFC 6749, section 4.1.2.1: what says nothing about the person.
const PROVIDER_TROUBLE = new Set(['server_error', 'temporarily_unavailable'])

/** A provider as a client of it needs it. `version` changes with any of it. */
export type Client = {
  id: string
  issuer: string
  clientId: string
  clientSecret: string | null
  scopes: string[]
  version: string
}

/** What is kept of a login from its start to the callback. */
type Secrets = { nonce: string; codeVerifier: string }
export type Departure = Secrets & { makeState(): Promise<string> }
export type Checks = Secrets & { state: string }

/** What a provider tells of a person. */
export type Profile = { email: string | null; emailVerified: boolean; preferredUsername: string | undefined }

/** Whom the provider vouches for. */
export type Vouched = { subject: string; profile(): Promise<Profile> }

type Dependencies = { clock: Clock; log: Logger; timeoutMs?: number | undefined }
type Known = { version: string; until: number; configuration: Promise<client.Configuration> }

/**
 * The side of OpenID Connect that leans on a provider: the code flow with PKCE, and ID tokens whose signature is checked
 * though they come straight from the provider. Providers are asked when they are needed, in bounded time; one that is
 * away keeps nothing else from working.
 */
export function createRelyingParty({ clock, log, timeoutMs = TIMEOUT_MS }: Dependencies) {
  const known = new Map<string, Known>()
  const fetch = createBoundedFetch(timeoutMs)

  const discover = (provider: Client): Promise<client.Configuration> => {
    const issuer = readIssuer(provider.issuer)
    return client.discovery(issuer, provider.clientId, undefined, authenticationOf(provider), {
      [client.customFetch]: fetch,
      timeout: timeoutMs / 1000,
      // Unprotected endpoints are the bounded fetch's to refuse: it knows which are on this machine.
      execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
    })
  }

  const configurationOf = (provider: Client): Promise<client.Configuration> => {
    const { id, version } = provider
    const now = clock.now().getTime()
    const found = known.get(id)
    if (found && found.version === version && found.until > now) return found.configuration
    const configuration = discover(provider)
    const entry = { version, until: now + DISCOVERED_MS, configuration }
    known.set(id, entry)
    configuration.catch(() => {
      if (known.get(id) === entry) known.delete(id)
    })
    return configuration
  }

  /** Whatever the library throws becomes what may be told; its own words go to the log. */
  const ask = async <T>(provider: Client, question: () => Promise<T>, otherwise: () => AppError): Promise<T> => {
    const tell = (error: unknown): never => {
      if (error instanceof client.AuthorizationResponseError) throw refusalOf(error)
      log.warn({ err: error, provider: provider.id }, 'a provider was asked in vain')
      if (error instanceof Error && error.cause instanceof AppError) throw error.cause
      throw otherwise()
    }
    try {
      return await answerWithin(timeoutMs, () => question().catch(tell))
    } catch (error) {
      throw error instanceof AppError ? error : oidcErrors.providerAway({ cause: error })
    }
  }

  const away = () => oidcErrors.providerAway()
  const failed = () => oidcErrors.failed()
  const discovered = (provider: Client) => ask(provider, () => configurationOf(provider), away)

  return {
    /** Where to send the browser; a state is made once the provider is known to be there. @throws oidc.providerAway (503) */
    async authorizationUrl(provider: Client, redirectUri: string, departure: Departure): Promise<string> {
      const { nonce, codeVerifier } = departure
      const configuration = await discovered(provider)
      const challenge = await client.calculatePKCECodeChallenge(codeVerifier)
      const page = configuration.serverMetadata().authorization_endpoint
      if (!page || !URL.canParse(page) || !isProtected(new URL(page))) throw away()
      const url = client.buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope: provider.scopes.join(' '),
        state: await departure.makeState(),
        nonce,
        code_challenge: challenge,
        code_challenge_method: 'S256',
      })
      return url.href
    },

    /**
     * Exchanges the code that the browser brought to `currentUrl`, which is the redirect URI with what the provider
     * added to it.
     * @throws oidc.providerAway (503); oidc.denied (403); oidc.failed (401) for whatever doesn't prove who it is
     */
    async exchange(provider: Client, currentUrl: URL, { state, nonce, codeVerifier }: Checks): Promise<Vouched> {
      const configuration = await discovered(provider)
      const checks = {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: codeVerifier,
        idTokenExpected: true,
      }
      const grant = () => client.authorizationCodeGrant(configuration, currentUrl, checks)
      const tokens = await ask(provider, grant, failed)
      const claims = tokens.claims()!
      if (!SUBJECT.test(claims.sub)) throw oidcErrors.failed()
      return {
        subject: claims.sub,
        async profile() {
          const isComplete = claims.email !== undefined || !configuration.serverMetadata().userinfo_endpoint
          if (isComplete) return toProfile(claims, {})
          const userInfo = () => client.fetchUserInfo(configuration, tokens.access_token, claims.sub)
          return toProfile(claims, await ask(provider, userInfo, failed))
        },
      }
    },
  }
}

export type RelyingParty = ReturnType<typeof createRelyingParty>

// What the provider takes; the standard's default where it doesn't say (OpenID Connect Discovery 1.0, section 3).
function authenticationOf({ clientSecret }: Client): client.ClientAuth {
  if (clientSecret === null) return client.None()
  const [post, basic] = [client.ClientSecretPost(clientSecret), client.ClientSecretBasic(clientSecret)]
  return (server, ...request) => {
    const takesPost = server.token_endpoint_auth_methods_supported?.includes('client_secret_post')
    return (takesPost ? post : basic)(server, ...request)
  }
}

function refusalOf({ error }: client.AuthorizationResponseError): AppError {
  if (error === 'access_denied') return oidcErrors.denied()
  return PROVIDER_TROUBLE.has(error) ? oidcErrors.providerAway() : oidcErrors.failed()
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)

// Some providers write the boolean as text. The address and what is said of it come from one and the same source.
function toProfile(idToken: Record<string, unknown>, userInfo: Record<string, unknown>): Profile {
  const source = idToken.email === undefined ? userInfo : idToken
  return {
    email: textOf(source.email) ?? null,
    emailVerified: source.email_verified === true || source.email_verified === 'true',
    preferredUsername: textOf(idToken.preferred_username) ?? textOf(userInfo.preferred_username),
  }
}
