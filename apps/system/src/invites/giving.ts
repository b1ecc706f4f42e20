import type { Guard, Principal } from '@conntext/http'
import type { Clock } from '@conntext/kernel'

type Deps = { guard: Guard; clock: Clock }

/**
 * Whether somebody could give a role to a member, by the rules of `PATCH /v1/members/:id`: who manages roles gives only
 * those below their own highest one, and none with a permission that they don't have.
 */
export async function mayGive({ guard, clock }: Deps, giver: Principal, roleId: string): Promise<boolean> {
  const [authority, grant] = await Promise.all([guard.authority(), guard.grantOf(giver)])
  const role = authority.snapshot.roles.find((one) => one.id === roleId)
  if (!grant || !role || role.isEveryone) return false
  const held = new Set(authority.effective(grant, undefined, clock.now().getTime()))
  const holds = held.has('role.manage') && role.permissions.every((permission) => held.has(permission))
  return holds && authority.rank(grant, 'counting') > role.position
}
