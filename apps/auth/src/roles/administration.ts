import { Authority, type Grant, isPermission, type Permission } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, type Caller, type Requirement } from '@conntext/http'
import { AppError, type Clock } from '@conntext/kernel'
import { lockAuthority } from '../authority/queries.ts'
import { readGrant, readServerSnapshot } from '../authority/snapshot.ts'
import { memberErrors } from '../members/errors.ts'
import type { Refusals } from '../refusals.ts'
import type { Transaction } from '../transaction.ts'
import { roleErrors } from './errors.ts'
import type { RoleRow } from './queries.ts'

/**
 * Somebody who administers roles or members, as they are under the lock: the evaluator's view of them, within the
 * scopes of the API token that they may have come with.
 */
export class Administrator {
  #asked: Requirement

  constructor(
    readonly authority: Authority,
    readonly grant: Grant,
    private readonly context: { now: Date; asked: Requirement },
  ) {
    this.#asked = context.asked
  }

  /** The permission that was asked for last: what a refusal is recorded with. */
  get asked(): Requirement {
    return this.#asked
  }

  get isOwner(): boolean {
    return this.grant.userId === this.authority.snapshot.ownerId
  }

  get rank(): number {
    return this.authority.rank(this.grant, 'counting')
  }

  allows(permission: Permission): boolean {
    return this.authority.allows(this.grant, permission, undefined, this.context.now.getTime())
  }

  get isTimedOut(): boolean {
    const { timedOutUntil } = this.grant
    return (
      timedOutUntil !== null && Date.parse(timedOutUntil) > this.context.now.getTime() && !this.allows('administrator')
    )
  }

  /** @throws access.forbidden (403) */
  demand(permission: Permission): void {
    this.#asked = permission
    if (!this.allows(permission)) throw accessErrors.forbidden(`This needs the permission ${permission}.`)
  }

  /** @throws role.notBelowYours (403): only the owner touches a role at or above their own highest one */
  assertBelow({ name, position }: Pick<RoleRow, 'name' | 'position'>): void {
    if (position >= this.rank) throw roleErrors.notBelowYours(`The role ${name} is not.`)
  }

  /** @throws role.permissionNotHeld (403): nobody gets others, or themselves, more than they have */
  assertHeld(permissions: readonly string[]): void {
    const missing = permissions.filter((name) => isPermission(name) && !this.allows(name))
    if (missing.length > 0) throw roleErrors.permissionNotHeld(`You lack ${missing.join(', ')}.`)
  }

  /**
   * Somebody is protected by all of their roles, also by those that ask for a second factor which they lack.
   * @throws member.notBelowYou (403) for who stands as high or higher: oneself, and the owner, always
   */
  assertOutranks({ userId, roleIds }: Pick<Grant, 'userId' | 'roleIds'>): void {
    const target: Grant = { userId, roleIds, kind: 'user', standing: 'active', timedOutUntil: null, mfa: false }
    if (this.authority.rank(target, 'all') >= this.rank) throw memberErrors.notBelowYou()
  }
}

export type AdministrationDependencies = { db: ServerDetails; clock: Clock; refusals: Refusals }

/** `permission`: what the route asks for; none where it depends on what is changed. */
export type Administration = { caller: Caller; route: string; permission?: Permission }

/**
 * Runs a change of roles or of members in a transaction of its own, one at a time on the whole server: what the caller
 * may do is read under the lock, so it can't be taken away between the check and the change.
 * @throws access.forbidden, .notAMember (403); whatever refuses with 403 is recorded
 */
export async function administer<T>(
  { db, clock, refusals }: AdministrationDependencies,
  { caller, route, permission }: Administration,
  change: (tx: Transaction, who: Administrator) => Promise<T>,
): Promise<T> {
  let who: Administrator | undefined
  try {
    return await db.transaction(async (tx) => {
      await lockAuthority(tx)
      const authority = new Authority(await readServerSnapshot(tx))
      const grant = await readGrant(tx, caller.userId)
      if (grant?.standing !== 'active') throw accessErrors.notAMember()
      const context = { now: clock.now(), asked: permission ?? ('member' as const) }
      who = new Administrator(authority, { ...grant, scopes: caller.scopes }, context)
      if (permission !== undefined) who.demand(permission)
      return change(tx, who)
    })
  } catch (error) {
    if (error instanceof AppError && error.status === 403) {
      refusals.access(caller, who?.asked ?? permission ?? 'member', route)
    }
    throw error
  }
}
