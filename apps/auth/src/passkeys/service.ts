import {
  type AddedPasskey,
  auditFor,
  type Confirmation as Given,
  type NewPasskey,
  type Page,
  type Passkey,
  type PasskeyRegistrationStart,
} from '@conntext/contracts'
import { isUniqueViolation } from '@conntext/database'
import { newServerSettings, type ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, cleanLabel, type PageRequest, pageById } from '@conntext/http'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import { findSettings } from '../authority/queries.ts'
import type { Changes } from '../changes.ts'
import type { Confirmation } from '../confirmation/confirmation.ts'
import type { FactorChanges } from '../mfa/factor-changes.ts'
import { countPasskeys } from '../mfa/queries.ts'
import { hasWayIn } from '../oidc/queries.ts'
import type { ValidationTokens } from '../validation/tokens.ts'
import { CEREMONY_MS, type Ceremony, creationOptions, verifyRegistration, type WebAuthnSettings } from './ceremonies.ts'
import { passkeyErrors } from './errors.ts'
import {
  deletePasskey,
  insertPasskey,
  listCredentials,
  listPasskeys,
  type PasskeyRow,
  renamePasskey,
} from './queries.ts'

/** How many an account may have. */
export const MAX_PASSKEYS = 20

const audit = auditFor('auth')

type Dependencies = {
  db: ServerDetails
  clock: Clock
  log: Logger
  changes: Changes
  confirmation: Confirmation
  factors: FactorChanges
  validation: ValidationTokens
  webauthn: WebAuthnSettings
}

/** The passkeys of an account (https://www.w3.org/TR/webauthn-3/). */
export function createPasskeys(deps: Dependencies) {
  const { db, clock, log, changes, confirmation, factors, validation, webauthn } = deps
  const owe = (tx: Parameters<Changes['owe']>[0], action: PasskeyAction, caller: Caller, id: string) =>
    changes.owe(tx, { audit: [audit(action, actorOf(caller), id, { userId: caller.userId })] })

  /** The credential that the browser made for the ceremony, which is then over. */
  const finish = async (caller: Caller, { ceremonyToken, response }: NewPasskey) => {
    const ceremony = await validation.take<Ceremony>(db, 'passkeyRegistration', ceremonyToken)
    if (!ceremony || ceremony.userId !== caller.userId) throw passkeyErrors.ceremonyEnded()
    try {
      return await verifyRegistration(webauthn, ceremony.data, response)
    } catch (cause) {
      // Most likely the server goes by another address than it was told.
      log.info({ err: cause, requestId: caller.requestId }, 'a passkey was not verified')
      throw passkeyErrors.notVerified({ cause })
    }
  }

  return {
    /** @throws passkey.tooMany (409), and what a confirmation does */
    async startRegistration(caller: Caller, given: Given): Promise<PasskeyRegistrationStart> {
      const { userId } = caller
      const started = await db.transaction(async (tx) => {
        await confirmation.assert(tx, caller, given)
        const account = await factors.lock(tx, caller)
        const present = await listCredentials(tx, userId)
        if (present.length >= MAX_PASSKEYS) throw passkeyErrors.tooMany()
        const { name: serverName } = (await findSettings(tx)) ?? newServerSettings
        const options = creationOptions(webauthn, { serverName, person: { id: userId, ...account }, present })
        const data: Ceremony = { challenge: options.challenge }
        const token = { purpose: 'passkeyRegistration', lifetimeMs: CEREMONY_MS, userId, data } as const
        return { ceremonyToken: await validation.issue(tx, token), options }
      })
      await changes.settled()
      return started
    },

    /** @throws passkey.ceremonyEnded (410), .notVerified, request.invalid (422), .alreadyAdded, .tooMany (409) */
    async add(caller: Caller, input: NewPasskey): Promise<AddedPasskey> {
      const { userId } = caller
      const name = cleanLabel(input.name)
      const credential = await finish(caller, input)
      const row = { ...credential, id: newId(), userId, name, createdAt: clock.now() }
      try {
        const { passkey, recoveryCodes } = await factors.change(caller, async (tx) => {
          await factors.lock(tx, caller)
          if ((await countPasskeys(tx, userId)) >= MAX_PASSKEYS) throw passkeyErrors.tooMany()
          const gained = await factors.gain(tx, caller)
          const made = await insertPasskey(tx, row)
          await owe(tx, 'passkey.added', caller, made.id)
          return { ...gained, passkey: toPasskey(made) }
        })
        return { ...passkey, recoveryCodes }
      } catch (error) {
        if (isUniqueViolation(error, 'passkeys_credential')) throw passkeyErrors.alreadyAdded()
        throw error
      }
    },

    async list(caller: Caller, page: PageRequest): Promise<Page<Passkey>> {
      return pageById(await listPasskeys(db, caller.userId, page), page.limit, toPasskey)
    },

    /** @throws passkey.notFound (404), also for other people's; request.invalid (422) for a name that can't be shown */
    async rename(caller: Caller, id: string, name: string): Promise<Passkey> {
      const label = cleanLabel(name)
      const renamed = await db.transaction(async (tx) => {
        const row = await renamePasskey(tx, { id, userId: caller.userId }, label)
        if (!row) throw passkeyErrors.notFound()
        await owe(tx, 'passkey.renamed', caller, id)
        return row
      })
      await changes.settled()
      return toPasskey(renamed)
    },

    /**
     * @throws passkey.notFound (404), also for other people's; passkey.lastWayIn, mfa.required (409), and what a
     * confirmation does
     */
    async remove(caller: Caller, id: string, given: Given): Promise<void> {
      await factors.change(caller, async (tx) => {
        await confirmation.assert(tx, caller, given)
        const account = await factors.lock(tx, caller)
        if (!(await deletePasskey(tx, { id, userId: caller.userId }))) throw passkeyErrors.notFound()
        if (!(await hasWayIn(tx, caller.userId))) throw passkeyErrors.lastWayIn()
        await factors.lose(tx, caller, account)
        await owe(tx, 'passkey.removed', caller, id)
        return {}
      })
    },
  }
}

export type Passkeys = ReturnType<typeof createPasskeys>

type PasskeyAction = 'passkey.added' | 'passkey.renamed' | 'passkey.removed'

const toPasskey = (row: PasskeyRow): Passkey => ({
  id: row.id,
  name: row.name,
  isSynced: row.backedUp,
  createdAt: row.createdAt.toISOString(),
  lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
})
