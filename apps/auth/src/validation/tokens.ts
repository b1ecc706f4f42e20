import { type ServerDetails, type ServerDetailsExecutor, validationTokens } from '@conntext/db-server-details'
import { type Clock, randomToken } from '@conntext/kernel'
import type { KeyedHash, Keyring } from '@conntext/keyring'
import { and, eq, gt, lt, sql } from 'drizzle-orm'

/** What a token is good for; one for another purpose is no token at all. */
export type Purpose =
  | 'passwordReset'
  | 'emailVerification'
  | 'mfaLogin'
  | 'passkeyRegistration'
  | 'passkeyLogin'
  | 'oidcLogin'
  | 'oidcResult'

export type NewValidationToken = {
  purpose: Purpose
  lifetimeMs: number
  userId?: string
  /** What has to be known when it comes back: sealed, and JSON. */
  data?: object
}

export type FoundToken<T> = { userId: string | null; data: T }

type Dependencies = { db: ServerDetails; clock: Clock; keyring: Keyring }

/** What a token's data is sealed for. */
export const tokenDataContext = (hash: Uint8Array) => `validation-token:${Buffer.from(hash).toString('hex')}`

/**
 * Single-use tokens of 256 bits that end by themselves: kept as keyed hashes, with what they carry sealed for them alone.
 * A wrong, used, ended or foreign token is the same: undefined.
 */
export function createValidationTokens({ clock, keyring }: Dependencies) {
  const hashOf: (purpose: Purpose, token: string) => Uint8Array = (() => {
    const hash: KeyedHash = keyring.hasher('validation-tokens')
    return (purpose, token) => hash(`${purpose}:${token}`)
  })()
  const living = (hash: Uint8Array) => and(eq(validationTokens.hash, hash), gt(validationTokens.expiresAt, clock.now()))

  const open = async <T>(row: typeof validationTokens.$inferSelect | undefined): Promise<FoundToken<T> | undefined> => {
    if (!row) return undefined
    const { userId, data, dataKeyId } = row
    if (data === null || dataKeyId === null) return { userId, data: {} as T }
    return {
      userId,
      data: JSON.parse((await keyring.open({ sealed: data, dataKeyId }, tokenDataContext(row.hash))).toString()),
    }
  }

  return {
    async issue(tx: ServerDetailsExecutor, { purpose, lifetimeMs, userId, data }: NewValidationToken): Promise<string> {
      const token = randomToken()
      const hash = hashOf(purpose, token)
      const sealed = data && keyring.seal(JSON.stringify(data), tokenDataContext(hash))
      const now = clock.now()
      await tx.insert(validationTokens).values({
        hash,
        purpose,
        userId: userId ?? null,
        data: sealed?.sealed ?? null,
        dataKeyId: sealed?.dataKeyId ?? null,
        createdAt: now,
        expiresAt: new Date(now.getTime() + lifetimeMs),
      })
      return token
    },

    /** Uses it up: of any number who try at once, one gets it. */
    async take<T>(tx: ServerDetailsExecutor, purpose: Purpose, token: string): Promise<FoundToken<T> | undefined> {
      const [row] = await tx
        .delete(validationTokens)
        .where(living(hashOf(purpose, token)))
        .returning()
      return open<T>(row)
    },

    /** Looks without using it up. */
    async find<T>(tx: ServerDetailsExecutor, purpose: Purpose, token: string): Promise<FoundToken<T> | undefined> {
      const [row] = await tx
        .select()
        .from(validationTokens)
        .where(living(hashOf(purpose, token)))
      return open<T>(row)
    },

    /** Counts a try to use it before it is known how it ends; undefined also where there were as many as are allowed. */
    async attempt<T>(
      tx: ServerDetailsExecutor,
      purpose: Purpose,
      token: string,
      allowed: number,
    ): Promise<FoundToken<T> | undefined> {
      const [row] = await tx
        .update(validationTokens)
        .set({ attempts: sql`${validationTokens.attempts} + 1` })
        .where(and(living(hashOf(purpose, token)), lt(validationTokens.attempts, allowed)))
        .returning()
      return open<T>(row)
    },

    /** Ends all of a person's, or those for one purpose. */
    async endAll(tx: ServerDetailsExecutor, userId: string, purpose?: Purpose): Promise<void> {
      const ofUser = eq(validationTokens.userId, userId)
      await tx
        .delete(validationTokens)
        .where(purpose === undefined ? ofUser : and(ofUser, eq(validationTokens.purpose, purpose)))
    },
  }
}

export type ValidationTokens = ReturnType<typeof createValidationTokens>

/** Forgets those that have ended. */
export async function pruneValidationTokens(db: ServerDetailsExecutor, now: Date): Promise<void> {
  await db.delete(validationTokens).where(lt(validationTokens.expiresAt, now))
}
