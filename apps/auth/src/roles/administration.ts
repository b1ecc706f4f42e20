import { isPermission, type Permission, permissionNames } from '@conntext/contracts'
import type { ServerDetails, ServerDetailsExecutor } from '@conntext/db-server-details'
import { accessErrors, type Caller } from '@conntext/http'
import { AppError } from '@conntext/kernel'
import { lockAuthority } from '../authority/queries.ts'
import type { Refusals } from '../refusals.ts'
import type { Transaction } from '../transaction.ts'
import { roleErrors } from './errors.ts'
import { type RoleRow, rolesOfMember } from './queries.ts'

/** How far somebody who manages roles may go. */
export type Administrator = { isOwner: boolean; highest: number; permissions: ReadonlySet<string> }

/** @throws role.notBelowYours (403): only the owner touches a role at or above their own highest one */
export function assertBelow(who: Administrator, role: RoleRow): void {
  if (!who.isOwner && role.position >= who.highest) throw roleErrors.notBelowYours(`The role ${role.name} is not.`)
}

/** @throws role.permissionNotHeld (403): nobody gets others, or themselves, more than they have */
export function assertHeld(who: Administrator, permissions: readonly string[]): void {
  const missing = permissions.filter((name) => isPermission(name) && !who.permissions.has(name))
  if (missing.length > 0) throw roleErrors.permissionNotHeld(`You lack ${missing.join(', ')}.`)
}

type Dependencies = { db: ServerDetails; refusals: Refusals }

/**
 * Runs a change of roles or of their holders in a transaction of its own, one at a time on the whole server: what the
 * caller may do is read under the lock, so it can't be taken away between the check and the change.
 * @throws access.forbidden (403) without `role.manage`; whatever refuses with 403 is recorded
 */
export async function administer<T>(
  { db, refusals }: Dependencies,
  { caller, route }: { caller: Caller; route: string },
  change: (tx: Transaction, who: Administrator) => Promise<T>,
): Promise<T> {
  try {
    return await db.transaction(async (tx) => {
      const { ownerId } = await lockAuthority(tx)
      return change(tx, await readAdministrator(tx, caller.userId, ownerId))
    })
  } catch (error) {
    if (error instanceof AppError && error.status === 403) refusals.access(caller, 'role.manage', route)
    throw error
  }
}

async function readAdministrator(
  tx: ServerDetailsExecutor,
  userId: string,
  ownerId: string | null,
): Promise<Administrator> {
  const own = await rolesOfMember(tx, userId)
  const granted = new Set(own.flatMap((role) => role.permissions))
  const isOwner = userId === ownerId
  const permissions = isOwner || granted.has('administrator') ? new Set<string>(permissionNames) : granted
  if (!permissions.has('role.manage' satisfies Permission)) {
    throw accessErrors.forbidden('This needs the permission role.manage.')
  }
  return { isOwner, highest: Math.max(...own.map((role) => role.position)), permissions }
}
