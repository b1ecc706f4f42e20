import { accessErrors, type Guard, type Identity, requestErrors } from '@conntext/http'
import type { GatewayConfig } from '../config.ts'
import { type Allowance, RateLimiter } from '../rate-limit.ts'
import { addressKey } from './address.ts'
import type { Operation } from './operations.ts'

// What strangers may call there takes a password, a code or a token to try, or sends mail.
const CREDENTIAL_ROUTES = '/v1/auth/'
const BEARER = /^Bearer +(\S+)$/i
const PLAIN_BEARER = 'Bearer '

export function bearerOf(headers: Headers): string | undefined {
  const header = headers.get('authorization')
  if (header === null) return undefined
  // How everybody writes it, without the regular expression.
  if (header.startsWith(PLAIN_BEARER) && !header.includes(' ', PLAIN_BEARER.length)) {
    return header.length > PLAIN_BEARER.length ? header.slice(PLAIN_BEARER.length) : undefined
  }
  return BEARER.exec(header)?.[1]
}

export type Applicant = {
  path: string
  address: string
  token: string | undefined
  operation: Operation | undefined
}

// A program that runs wild must not keep the person out in whose name it acts.
const payer = ({ userId, sessionId, scopes }: Identity): string => (scopes === null ? userId : sessionId)

export const tooMany = (allowance: Allowance) =>
  requestErrors.tooMany({ detail: 'Slow down.', retryAfter: allowance.retryAfter })

/**
 * Coarse authentication and the rate of requests. What somebody may do in particular is decided by the services; here
 * it is only settled whether a token is good, and whether the operation can do without one.
 */
export function createAdmission(config: GatewayConfig, guard: Guard, now?: () => number) {
  const limiter = (rate: GatewayConfig['rates']['account']) => new RateLimiter(rate, config.maxBuckets, now)
  const accounts = limiter(config.rates.account)
  const addresses = limiter(config.rates.address)
  const credentials = limiter(config.rates.credentials)
  // Checking a signature is the dearest thing that a stranger can make a gateway do.
  const badTokens = limiter(config.rates.address)

  const byAddress = (address: string) => addresses.take(addressKey(address))

  return {
    byAddress,

    /**
     * Who it is counted for, and what is left. `note` is told the allowance before anything is thrown, since refusals
     * carry it too.
     * @throws access.unauthenticated (401), request.tooMany (429)
     */
    async admit(applicant: Applicant, note: (allowance: Allowance | undefined) => void): Promise<void> {
      const { path, address, token, operation } = applicant
      const charge = (allowance: Allowance | undefined) => {
        note(allowance)
        if (allowance && !allowance.allowed) throw tooMany(allowance)
      }
      if (operation?.public && path.startsWith(CREDENTIAL_ROUTES)) return charge(credentials.take(addressKey(address)))
      if (operation?.public || (token === undefined && !operation)) return charge(byAddress(address))
      if (token === undefined) {
        charge(byAddress(address))
        throw accessErrors.unauthenticated()
      }
      const key = addressKey(address)
      if (badTokens.exhausted(key)) throw requestErrors.tooMany({ detail: 'Too many bad tokens.', retryAfter: 1 })
      const identity = await guard.identify(token)
      if (identity) return charge(accounts.take(payer(identity)))
      badTokens.take(key)
      charge(byAddress(address))
      throw accessErrors.unauthenticated('The token is not valid, or no longer.')
    },
  }
}

export type Admission = ReturnType<typeof createAdmission>
