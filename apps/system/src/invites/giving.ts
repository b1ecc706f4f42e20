import type { Authority, AuthoritySnapshot, Grant, Role } from '@conntext/contracts'
import type { Guard } from '@conntext/http'
import type { Clock } from '@conntext/kernel'

type Deps = { guard: Guard; clock: Clock }

/**
 * Whether somebody could give a role to a member, by the rules of `PATCH /v1/members/:id`: who manages roles gives only
 * those below their own highest one, and none with a permission that they don't have.
 */
export async function mayGive({ guard, clock }: Deps, userId: string, roleId: string): Promise<boolean> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grant(userId)])
  const role = authority.snapshot.roles.find((one) => one.id === roleId)
  if (!grant || !role || role.isEveryone) return false
  return holds(authority, grant, ['role.manage', ...role.permissions], clock) && outranks(authority, grant, role)
}

function holds(authority: Authority, grant: Grant, permissions: Role['permissions'], clock: Clock): boolean {
  const now = clock.now().getTime()
  return permissions.every((permission) => authority.allows(grant, permission, undefined, now))
}

const outranks = ({ snapshot }: Authority, grant: Grant, role: Role): boolean =>
  snapshot.ownerId === grant.userId || highestPosition(snapshot, grant) > role.position

function highestPosition({ roles }: AuthoritySnapshot, { roleIds }: Grant): number {
  return Math.max(0, ...roles.filter((role) => roleIds.includes(role.id)).map((role) => role.position))
}
