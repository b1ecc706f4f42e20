import {
  apiTokens,
  credentials,
  identities,
  memberRoles,
  passkeys,
  recoveryCodes,
  roles,
  type ServerDetailsExecutor,
  totpSecrets,
  users,
} from '@conntext/db-server-details'
import { and, asc, count, eq, isNotNull, isNull, ne, or } from 'drizzle-orm'

/** What is kept of an account beside what its owner is shown all the time; no secret among it. */
export async function findHoldings(db: ServerDetailsExecutor, userId: string) {
  const [account] = await db
    .select({
      nickname: users.nickname,
      emailVerifiedAt: users.emailVerifiedAt,
      joinedAt: users.joinedAt,
      timedOutUntil: users.timedOutUntil,
      passwordChangedAt: credentials.changedAt,
    })
    .from(users)
    .leftJoin(credentials, eq(credentials.userId, users.id))
    .where(eq(users.id, userId))
  const [totp] = await db
    .select({ createdAt: totpSecrets.createdAt })
    .from(totpSecrets)
    .where(and(eq(totpSecrets.userId, userId), isNotNull(totpSecrets.confirmedAt)))
  const [codes] = await db
    .select({ left: count() })
    .from(recoveryCodes)
    .where(and(eq(recoveryCodes.userId, userId), isNull(recoveryCodes.usedAt)))
  return { account: account!, totp, recoveryCodesLeft: codes!.left, ...(await lists(db, userId)) }
}

const lists = async (db: ServerDetailsExecutor, userId: string) => ({
  roles: await db
    .select({ id: roles.id, name: roles.name })
    .from(roles)
    .innerJoin(memberRoles, eq(memberRoles.roleId, roles.id))
    .where(eq(memberRoles.userId, userId))
    .orderBy(asc(roles.position)),
  passkeys: await db
    .select({
      id: passkeys.id,
      name: passkeys.name,
      createdAt: passkeys.createdAt,
      lastUsedAt: passkeys.lastUsedAt,
    })
    .from(passkeys)
    .where(eq(passkeys.userId, userId))
    .orderBy(asc(passkeys.id)),
  identities: await db
    .select({
      provider: identities.providerId,
      subject: identities.subject,
      createdAt: identities.createdAt,
      lastUsedAt: identities.lastUsedAt,
    })
    .from(identities)
    .where(eq(identities.userId, userId))
    .orderBy(asc(identities.id)),
  apiTokens: await db
    .select({
      id: apiTokens.id,
      userId: apiTokens.userId,
      name: apiTokens.name,
      scopes: apiTokens.scopes,
      createdAt: apiTokens.createdAt,
      expiresAt: apiTokens.expiresAt,
      lastUsedAt: apiTokens.lastUsedAt,
    })
    .from(apiTokens)
    .where(and(or(eq(apiTokens.userId, userId), eq(apiTokens.createdBy, userId)), isNull(apiTokens.revokedAt)))
    .orderBy(asc(apiTokens.id)),
  bots: await db
    .select({ id: users.id, username: users.username, createdAt: users.createdAt })
    .from(users)
    .where(and(eq(users.createdBy, userId), ne(users.standing, 'deleted')))
    .orderBy(asc(users.id)),
})
