import {
  auditFor,
  changedFields,
  type OidcLoginOption,
  type OidcProvider,
  type OidcProviderSettings,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, cleanLabel } from '@conntext/http'
import type { Keyring } from '@conntext/keyring'
import type { Changes } from '../changes.ts'
import type { Transaction } from '../transaction.ts'
import { readIssuer } from './endpoint.ts'
import { oidcErrors } from './errors.ts'
import {
  deleteProvider,
  findEnabledProvider,
  hasIdentities,
  listProviders,
  lockProvider,
  type ProviderRow,
  upsertProvider,
} from './queries.ts'
import type { Client } from './relying-party.ts'

const MAX_PROVIDERS = 32
const DEFAULT_SCOPES = ['email', 'profile']

const audit = auditFor('auth')

/** What a provider's client secret is sealed for. */
export const clientSecretContext = (id: string) => `oidc-provider:${id}`

type Secret = Pick<ProviderRow, 'clientSecret' | 'dataKeyId'>

type Dependencies = { db: ServerDetails; keyring: Keyring; changes: Changes; redirectUri(provider: string): string }

/** The providers that people may log in with, as administrators set them up. None is asked anything here. */
export function createProviders({ db, keyring, changes, redirectUri }: Dependencies) {
  const toProvider = (row: ProviderRow): OidcProvider => ({
    id: row.id,
    name: row.name,
    issuer: row.issuer,
    clientId: row.clientId,
    hasClientSecret: row.clientSecret !== null,
    scopes: row.scopes,
    enabled: row.enabled,
    redirectUri: redirectUri(row.id),
    createdAt: row.createdAt.toISOString(),
  })

  const secretOf = (id: string, { clientSecret }: OidcProviderSettings, before: ProviderRow | undefined): Secret => {
    if (clientSecret === undefined)
      return { clientSecret: before?.clientSecret ?? null, dataKeyId: before?.dataKeyId ?? null }
    if (clientSecret === null) return { clientSecret: null, dataKeyId: null }
    const { sealed, dataKeyId } = keyring.seal(clientSecret, clientSecretContext(id))
    return { clientSecret: sealed as ProviderRow['clientSecret'], dataKeyId }
  }

  const set = async (tx: Transaction, caller: Caller, id: string, settings: OidcProviderSettings) => {
    const before = await lockProvider(tx, id)
    if (before) await assertChange(tx, before, settings)
    else if ((await listProviders(tx)).length >= MAX_PROVIDERS) throw oidcErrors.tooManyProviders()
    const { name, issuer, clientId, scopes = DEFAULT_SCOPES, enabled = true } = settings
    const values = {
      name: cleanLabel(name),
      issuer,
      clientId,
      scopes: [...new Set(['openid', ...scopes])],
      enabled,
    }
    const row = await upsertProvider(tx, { id, ...values, ...secretOf(id, settings, before) })
    const { changes: changed = {} } = changedFields<Partial<typeof values>>(before ?? {}, values) ?? {}
    const fields = [...Object.keys(changed), ...(settings.clientSecret === undefined ? [] : ['clientSecret'])]
    if (fields.length > 0) {
      await changes.owe(tx, { audit: [audit('oidcProvider.set', actorOf(caller), id, { fields, changes: changed })] })
    }
    return row
  }

  return {
    /** Those that can be logged in with. */
    async options(): Promise<{ items: OidcLoginOption[] }> {
      const rows = await listProviders(db)
      return { items: rows.filter(({ enabled }) => enabled).map(({ id, name }) => ({ id, name })) }
    },

    async list(): Promise<{ items: OidcProvider[] }> {
      return { items: (await listProviders(db)).map(toProvider) }
    },

    /**
     * Makes it, or makes it what it is told. The secret can't be read, nor be sent to anybody else: with another issuer
     * or client it has to be given anew. The issuer stays once accounts are linked, as subjects are somebody only there.
     * @throws oidc.issuerRefused, .secretNeeded (422), .issuerInUse, .tooManyProviders (409)
     */
    async set(caller: Caller, id: string, settings: OidcProviderSettings): Promise<OidcProvider> {
      readIssuer(settings.issuer)
      const row = await db.transaction((tx) => set(tx, caller, id, settings))
      await changes.settled()
      return toProvider(row)
    },

    /** With everybody's identities there. @throws oidc.providerNotFound (404) */
    async remove(caller: Caller, id: string): Promise<void> {
      await db.transaction(async (tx) => {
        if (!(await deleteProvider(tx, id))) throw oidcErrors.providerNotFound()
        await changes.owe(tx, { audit: [audit('oidcProvider.removed', actorOf(caller), id, {})] })
      })
      await changes.settled()
    },

    /** The provider as its client. @throws oidc.providerNotFound (404), also for one that is not enabled */
    async client(id: string): Promise<Client> {
      const row = await findEnabledProvider(db, id)
      if (!row) throw oidcErrors.providerNotFound()
      const { issuer, clientId, clientSecret, dataKeyId, scopes } = row
      const sealed = clientSecret && dataKeyId ? { dataKeyId, sealed: clientSecret } : undefined
      const opened = sealed && (await keyring.open(sealed, clientSecretContext(id))).toString()
      const version = JSON.stringify([issuer, clientId, sealed && Buffer.from(sealed.sealed).toString('hex')])
      return { id, issuer, clientId, clientSecret: opened ?? null, scopes, version }
    },
  }
}

export type Providers = ReturnType<typeof createProviders>

async function assertChange(tx: Transaction, before: ProviderRow, settings: OidcProviderSettings): Promise<void> {
  const { issuer, clientId, clientSecret } = settings
  if (issuer !== before.issuer && (await hasIdentities(tx, before.id))) throw oidcErrors.issuerInUse()
  const isAnother = issuer !== before.issuer || clientId !== before.clientId
  if (isAnother && before.clientSecret !== null && clientSecret === undefined) throw oidcErrors.secretNeeded()
}
