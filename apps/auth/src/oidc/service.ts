import type { ServerDetails } from '@conntext/db-server-details'
import type { MaintenanceGate } from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import type { LoginCompletion } from '../login/complete.ts'
import type { Refusals } from '../refusals.ts'
import type { RegistrationService } from '../registration/service.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { createAccounts } from './accounts.ts'
import { createBrowserBinding } from './browser.ts'
import { createIdentities } from './identities.ts'
import { createOidcLogin, LOGIN_MS } from './login.ts'
import { createProviders } from './providers.ts'
import { createRelyingParty } from './relying-party.ts'
import { createReturnAddresses } from './return-to.ts'

/** How the server is reached, and where else results of logins may go. */
export type OidcOptions = {
  /** Origins besides the server's own. */
  returnOrigins?: string[]
  /** How long a provider may take to answer; ten seconds unless told. */
  timeoutMs?: number
}

type Dependencies = {
  db: ServerDetails
  clock: Clock
  log: Logger
  keyring: Keyring
  changes: Changes
  refusals: Refusals
  validation: ValidationTokens
  completion: LoginCompletion
  confirmation: Confirmation
  registration: RegistrationService
  maintenance: MaintenanceGate
  publicUrl: string
  oidc: OidcOptions | undefined
}

/** Login by OpenID Connect, in its parts. */
export function createOidc(deps: Dependencies) {
  const { publicUrl, oidc = {} } = deps
  const base = publicUrl.replace(/\/+$/, '')
  const redirectUri = (provider: string) => `${base}/v1/auth/oidc/${provider}/callback`
  const providers = createProviders({ ...deps, redirectUri })
  const accounts = createAccounts(deps)
  const binding = createBrowserBinding(publicUrl, LOGIN_MS)
  const login = createOidcLogin({
    ...deps,
    redirectUri,
    providers,
    accounts,
    binding,
    relyingParty: createRelyingParty({ ...deps, timeoutMs: oidc.timeoutMs }),
    returnAddresses: createReturnAddresses(publicUrl, oidc.returnOrigins ?? []),
  })
  return { providers, binding, login, identities: createIdentities({ ...deps, accounts, login }) }
}
