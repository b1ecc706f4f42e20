import type {
  LoginAnswer,
  OidcCallbackQuery,
  OidcCode,
  OidcExchange,
  OidcLink,
  OidcStartQuery,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Caller, Visitor } from '@conntext/http'
import { AppError, type Clock, equalSecrets, randomToken } from '@conntext/kernel'
import { calculatePKCECodeChallenge } from 'openid-client'
import type { Confirmation } from '../confirmation/confirmation.ts'
import type { LoginCompletion } from '../login/complete.ts'
import type { Refusals } from '../refusals.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import type { Accounts, Subject } from './accounts.ts'
import type { BrowserBinding } from './browser.ts'
import { oidcErrors } from './errors.ts'
import type { Providers } from './providers.ts'
import { findIdentityOfUser, touchIdentity } from './queries.ts'
import type { Client, RelyingParty } from './relying-party.ts'
import { type ReturnAddresses, withResult } from './return-to.ts'

/** How long somebody may take at the provider. */
export const LOGIN_MS = 10 * 60_000
/** How long a result waits to be fetched. */
const RESULT_MS = 60_000

/** What was wanted when somebody was sent to a provider. */
type Wanted = { returnTo?: string; codeChallenge?: string; inviteCode?: string }

/** What is kept until they come back; sealed. `browser` is null for a link, which takes the account to complete. */
type Pending = Wanted & {
  provider: string
  issuer: string
  clientId: string
  nonce: string
  codeVerifier: string
  browser: string | null
}

/** What a one-time code stands for; sealed. */
type Result = { codeChallenge?: string } & ({ kind: 'login'; identityId: string } | ({ kind: 'link' } & Subject))

/** What a callback comes to: an answer, or a place to send the browser. */
export type Outcome = { answer: LoginAnswer | OidcCode } | { location: string }

type Dependencies = {
  db: ServerDetails
  clock: Clock
  validation: ValidationTokens
  completion: LoginCompletion
  confirmation: Confirmation
  refusals: Refusals
  providers: Providers
  relyingParty: RelyingParty
  accounts: Accounts
  returnAddresses: ReturnAddresses
  binding: BrowserBinding
  redirectUri(provider: string): string
}

export function createOidcLogin(deps: Dependencies) {
  const { db, clock, validation, completion, confirmation, refusals, providers, relyingParty, accounts } = deps

  /** Where the browser goes to prove who somebody is; what is wanted waits for them. */
  const send = async (provider: Client, wanted: Wanted & { browser: string | null; userId?: string }) => {
    const { userId, ...rest } = wanted
    const secrets = { nonce: randomToken(), codeVerifier: randomToken() }
    const { id, issuer, clientId } = provider
    const data: Pending = { ...rest, ...secrets, provider: id, issuer, clientId }
    return relyingParty.authorizationUrl(provider, deps.redirectUri(id), {
      ...secrets,
      makeState: () =>
        validation.issue(db, {
          purpose: 'oidcLogin',
          lifetimeMs: LOGIN_MS,
          data,
          ...(userId === undefined ? {} : { userId }),
        }),
    })
  }

  const wantedOf = ({ returnTo, codeChallenge }: Pick<OidcStartQuery, 'returnTo' | 'codeChallenge'>): Wanted => ({
    ...(returnTo === undefined ? {} : { returnTo: deps.returnAddresses.check(returnTo) }),
    ...(codeChallenge === undefined ? {} : { codeChallenge }),
  })

  const giveCode = (pending: Pending, userId: string, result: Result): Promise<string> => {
    const { codeChallenge } = pending
    const data: Result = codeChallenge === undefined ? result : { ...result, codeChallenge }
    return validation.issue(db, { purpose: 'oidcResult', lifetimeMs: RESULT_MS, userId, data })
  }

  const takeCode = async ({ code, codeVerifier }: OidcExchange): Promise<{ userId: string; data: Result }> => {
    const found = await validation.take<Result>(db, 'oidcResult', code)
    const challenge = found?.data.codeChallenge
    const given = codeVerifier === undefined ? '' : await calculatePKCECodeChallenge(codeVerifier)
    if (!found?.userId || (challenge !== undefined && !equalSecrets(given, challenge))) throw oidcErrors.codeInvalid()
    return { userId: found.userId, data: found.data }
  }

  const logIn = async (userId: string, identityId: string, visitor: Visitor): Promise<LoginAnswer> => {
    const answer = completion.complete({ userId, methods: ['fed'] }, visitor, async (tx) => {
      // The provider may have gone, or the account been unlinked, since it vouched.
      if (!(await touchIdentity(tx, identityId, clock.now()))) throw oidcErrors.providerNotFound()
    })
    return answer.catch((error: unknown) => {
      throw error instanceof AppError && error.code === 'login.failed' ? oidcErrors.accountUnusable() : error
    })
  }

  /** The provider's word on who it is, by what the browser brought. */
  const vouch = async (pending: Pending, state: string, query: OidcCallbackQuery) => {
    const provider = await providers.client(pending.provider)
    const isSame = provider.issuer === pending.issuer && provider.clientId === pending.clientId
    if (!isSame) throw oidcErrors.providerNotFound()
    const currentUrl = new URL(deps.redirectUri(provider.id))
    for (const [name, value] of Object.entries(query)) currentUrl.searchParams.set(name, String(value))
    const { nonce, codeVerifier } = pending
    return relyingParty.exchange(provider, currentUrl, { state, nonce, codeVerifier })
  }

  const arrive = async (arrived: Arrived, query: OidcCallbackQuery, visitor: Visitor): Promise<Outcome> => {
    const { pending, state, linkTo } = arrived
    const vouched = await vouch(pending, state, query)
    const who: Subject = { provider: pending.provider, issuer: pending.issuer, subject: vouched.subject }
    if (linkTo !== null) return deliver(pending, await giveCode(pending, linkTo, { kind: 'link', ...who }))
    const { id, userId } = await accounts.resolve(who, vouched, { visitor, inviteCode: pending.inviteCode })
    if (pending.returnTo === undefined) return { answer: await logIn(userId, id, visitor) }
    return deliver(pending, await giveCode(pending, userId, { kind: 'login', identityId: id }))
  }

  const takePending = async (provider: string, query: OidcCallbackQuery, headers: Headers): Promise<Arrived> => {
    const { state } = query
    const found = state === undefined ? undefined : await validation.take<Pending>(db, 'oidcLogin', state)
    if (!state || found?.data.provider !== provider) throw oidcErrors.stateInvalid()
    const { browser } = found.data
    if (browser !== null && !deps.binding.isSame(headers, browser)) throw oidcErrors.stateInvalid()
    return { pending: found.data, state, linkTo: found.userId }
  }

  // What registration refuses, it has recorded itself.
  const record = (error: unknown, visitor: Visitor) => {
    if (error instanceof AppError && error.status < 500 && error.code.startsWith('oidc.')) {
      refusals.login(visitor, null, error.code)
    }
  }

  /** A failure as the place where the client waits for it, if it waits anywhere. */
  const failAt = (returnTo: string | undefined, error: unknown): Outcome => {
    if (returnTo === undefined || !(error instanceof AppError)) throw error
    return { location: withResult(returnTo, { error: error.code }) }
  }

  return {
    /**
     * Where to send a browser that wants to log in; `browser` ties it to that one.
     * @throws oidc.providerNotFound (404), .returnToRefused (422); oidc.providerAway (503), or its code to `returnTo`
     */
    async start(providerId: string, query: OidcStartQuery, browser: string): Promise<string> {
      const wanted = wantedOf(query)
      const { inviteCode } = query
      try {
        const provider = await providers.client(providerId)
        return await send(provider, { ...wanted, ...(inviteCode === undefined ? {} : { inviteCode }), browser })
      } catch (error) {
        const outcome = failAt(wanted.returnTo, error)
        if ('location' in outcome) return outcome.location
        throw error
      }
    },

    /**
     * What the provider sent the browser back with comes to a login, or to a code for one.
     * @throws oidc.stateInvalid (400), and, where nobody waits for them elsewhere, oidc.denied (403), .failed (401),
     * .providerAway (503) and what `Accounts.resolve` throws
     */
    async callback(provider: string, query: OidcCallbackQuery, from: From): Promise<Outcome> {
      let returnTo: string | undefined
      try {
        const arrived = await takePending(provider, query, from.headers)
        returnTo = arrived.pending.returnTo
        return await arrive(arrived, query, from.visitor)
      } catch (error) {
        record(error, from.visitor)
        return failAt(returnTo, error)
      }
    },

    /** Logs in with the code that the browser was sent back with. @throws oidc.codeInvalid (401), .accountUnusable (403) */
    async exchange(input: OidcExchange, visitor: Visitor): Promise<LoginAnswer> {
      try {
        const { userId, data } = await takeCode(input)
        if (data.kind !== 'login') throw oidcErrors.codeInvalid()
        return await logIn(userId, data.identityId, visitor)
      } catch (error) {
        record(error, visitor)
        throw error
      }
    },

    /**
     * Where to send somebody who wants to link their account; they complete it with the code that comes of it.
     * @throws oidc.providerNotFound (404), .alreadyLinked (409), .returnToRefused (422), .providerAway (503), and what
     * `Confirmation.assert` throws
     */
    async beginLink(caller: Caller, providerId: string, input: OidcLink): Promise<{ url: string }> {
      const wanted = wantedOf(input)
      await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, input)
        if (await findIdentityOfUser(tx, providerId, caller.userId)) throw oidcErrors.alreadyLinked()
      })
      const provider = await providers.client(providerId)
      return { url: await send(provider, { ...wanted, browser: null, userId: caller.userId }) }
    },

    /** Whom the code stands for, for the account that asked. @throws oidc.codeInvalid (401) */
    async takeLink(caller: Caller, input: OidcExchange): Promise<Subject> {
      const { userId, data } = await takeCode(input)
      if (data.kind !== 'link' || userId !== caller.userId) throw oidcErrors.codeInvalid()
      return { provider: data.provider, issuer: data.issuer, subject: data.subject }
    },
  }
}

export type OidcLogin = ReturnType<typeof createOidcLogin>

type Arrived = { pending: Pending; state: string; linkTo: string | null }
type From = { headers: Headers; visitor: Visitor }

const deliver = ({ returnTo }: Pending, code: string): Outcome =>
  returnTo === undefined ? { answer: { code } } : { location: withResult(returnTo, { code }) }
