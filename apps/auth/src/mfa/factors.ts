import type { SecondFactor } from '@conntext/contracts'
import { passkeys, recoveryCodes, type ServerDetailsExecutor, totpSecrets } from '@conntext/db-server-details'
import { sql } from 'drizzle-orm'

/**
 * What an account can prove a second time with; nothing where it has neither an authenticator app nor a passkey, for
 * recovery codes are no factor by themselves.
 */
export async function secondFactorsOf(db: ServerDetailsExecutor, userId: string): Promise<SecondFactor[]> {
  const [row] = (await db.execute(sql`select
    exists (select from ${totpSecrets} where user_id = ${userId}::uuid and confirmed_at is not null) as totp,
    exists (select from ${passkeys} where user_id = ${userId}::uuid) as passkey,
    exists (select from ${recoveryCodes} where user_id = ${userId}::uuid and used_at is null) as "recoveryCode"`)) as unknown as [
    { totp: boolean; passkey: boolean; recoveryCode: boolean },
  ]
  if (!row.totp && !row.passkey) return []
  return (['totp', 'recoveryCode', 'passkey'] as const).filter((factor) => row[factor])
}
