import { permissionNames, permissions } from '@conntext/contracts'
import {
  authorityState,
  credentials,
  identities,
  memberRoles,
  oidcProviders,
  passkeys,
  roles,
  type ServerDetailsExecutor,
  users,
} from '@conntext/db-server-details'
import { and, asc, eq, ne, sql } from 'drizzle-orm'

export type ProviderRow = typeof oidcProviders.$inferSelect

export const listProviders = (db: ServerDetailsExecutor): Promise<ProviderRow[]> =>
  db.select().from(oidcProviders).orderBy(asc(oidcProviders.name), asc(oidcProviders.id))

export async function findEnabledProvider(db: ServerDetailsExecutor, id: string): Promise<ProviderRow | undefined> {
  const [row] = await db
    .select()
    .from(oidcProviders)
    .where(and(eq(oidcProviders.id, id), oidcProviders.enabled))
  return row
}

/** As `findEnabledProvider`, and it stays what it is until the transaction ends. */
export async function holdEnabledProvider(tx: ServerDetailsExecutor, id: string): Promise<ProviderRow | undefined> {
  const [row] = await tx
    .select()
    .from(oidcProviders)
    .where(and(eq(oidcProviders.id, id), oidcProviders.enabled))
    .for('share')
  return row
}

/** For a change of it: whoever links an account to it waits. */
export async function lockProvider(tx: ServerDetailsExecutor, id: string): Promise<ProviderRow | undefined> {
  const [row] = await tx.select().from(oidcProviders).where(eq(oidcProviders.id, id)).for('update')
  return row
}

export async function upsertProvider(
  tx: ServerDetailsExecutor,
  { id, ...values }: Omit<ProviderRow, 'createdAt'>,
): Promise<ProviderRow> {
  const [row] = await tx
    .insert(oidcProviders)
    .values({ id, ...values })
    .onConflictDoUpdate({ target: oidcProviders.id, set: values })
    .returning()
  return row!
}

/** With everybody's identities there; answers whether there was one. */
export async function deleteProvider(tx: ServerDetailsExecutor, id: string): Promise<boolean> {
  const rows = await tx.delete(oidcProviders).where(eq(oidcProviders.id, id)).returning({ id: oidcProviders.id })
  return rows.length > 0
}

export async function hasIdentities(db: ServerDetailsExecutor, providerId: string): Promise<boolean> {
  const rows = await db
    .select({ id: identities.id })
    .from(identities)
    .where(eq(identities.providerId, providerId))
    .limit(1)
  return rows.length > 0
}

export async function findIdentity(db: ServerDetailsExecutor, providerId: string, subject: string) {
  const [row] = await db
    .select({ id: identities.id, userId: identities.userId })
    .from(identities)
    .where(and(eq(identities.providerId, providerId), eq(identities.subject, subject)))
  return row
}

export async function findIdentityOfUser(db: ServerDetailsExecutor, providerId: string, userId: string) {
  const [row] = await db
    .select({ id: identities.id })
    .from(identities)
    .where(and(eq(identities.providerId, providerId), eq(identities.userId, userId)))
  return row
}

export async function insertIdentity(
  tx: ServerDetailsExecutor,
  row: Omit<typeof identities.$inferSelect, 'lastUsedAt'>,
): Promise<void> {
  await tx.insert(identities).values(row)
}

/** Notes its use; answers whether it is still one that can be logged in with. */
export async function touchIdentity(tx: ServerDetailsExecutor, id: string, now: Date): Promise<boolean> {
  const rows = await tx
    .update(identities)
    .set({ lastUsedAt: now })
    .from(oidcProviders)
    .where(and(eq(identities.id, id), eq(oidcProviders.id, identities.providerId), oidcProviders.enabled))
    .returning({ id: identities.id })
  return rows.length > 0
}

export const listIdentities = (db: ServerDetailsExecutor, userId: string) =>
  db
    .select({
      id: identities.id,
      provider: { id: oidcProviders.id, name: oidcProviders.name },
      createdAt: identities.createdAt,
      lastUsedAt: identities.lastUsedAt,
    })
    .from(identities)
    .innerJoin(oidcProviders, eq(oidcProviders.id, identities.providerId))
    .where(eq(identities.userId, userId))
    .orderBy(asc(identities.id))

/** Answers whose provider it was; nothing where the user has none of that id. */
export async function deleteIdentity(
  tx: ServerDetailsExecutor,
  { id, userId }: { id: string; userId: string },
): Promise<string | undefined> {
  const [row] = await tx
    .delete(identities)
    .where(and(eq(identities.id, id), eq(identities.userId, userId)))
    .returning({ providerId: identities.providerId })
  return row?.providerId
}

/** Whether the account can be come into: by a password, a passkey, or an identity at a provider that is in use. */
export async function hasWayIn(tx: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const [row] = (await tx.execute(sql`select
    exists (select from ${credentials} where user_id = ${userId}::uuid)
    or exists (select from ${passkeys} where user_id = ${userId}::uuid)
    or exists (select from ${identities} join ${oidcProviders} on oidc_providers.id = identities.provider_id
               where identities.user_id = ${userId}::uuid and oidc_providers.enabled) as found`)) as unknown as [
    { found: boolean },
  ]
  return row.found
}

/** The person whose verified address it is, gone or not; nobody else changes the account meanwhile. */
export async function lockUserByVerifiedEmail(tx: ServerDetailsExecutor, key: string) {
  const [row] = await tx
    .select({ id: users.id })
    .from(users)
    .where(
      and(
        eq(users.emailKey, key),
        sql`${users.emailVerifiedAt} is not null`,
        eq(users.kind, 'user'),
        ne(users.standing, 'deleted'),
      ),
    )
    .for('no key update')
  return row
}

const SERVER_PERMISSIONS = permissionNames.filter((name) => permissions[name].scope === 'server')

/** Whether the account is the owner's, or has a role that permits more than talking. */
export async function isPrivileged(tx: ServerDetailsExecutor, userId: string): Promise<boolean> {
  const powers = sql.join(
    SERVER_PERMISSIONS.map((name) => sql`${name}`),
    sql`, `,
  )
  const [row] = (await tx.execute(sql`select
    exists (select from ${authorityState} where owner_id = ${userId}::uuid)
    or exists (select from ${memberRoles} join ${roles} on roles.id = member_roles.role_id
               where member_roles.user_id = ${userId}::uuid and roles.permissions && array[${powers}]::text[]) as found`)) as unknown as [
    { found: boolean },
  ]
  return row.found
}
