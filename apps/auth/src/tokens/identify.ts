import { type AuthPort, isPermission } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import type { Clock } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import { findApiToken, touchApiToken } from './queries.ts'

type Dependencies = { db: ServerDetails; clock: Clock; tokenHash: KeyedHash }

/** What an API token stands for, and that it has been used. Verifiers remember the answer for a minute. */
export function createTokenIdentification({ db, clock, tokenHash }: Dependencies): AuthPort['identifyToken'] {
  return async ({ token }) => {
    const row = await findApiToken(db, tokenHash(token))
    const now = clock.now()
    if (!row || (row.expiresAt !== null && row.expiresAt <= now)) return null
    await touchApiToken(db, row, now)
    return {
      tokenId: row.id,
      userId: row.userId,
      scopes: row.scopes.filter(isPermission),
      expiresAt: row.expiresAt?.toISOString() ?? null,
    }
  }
}
