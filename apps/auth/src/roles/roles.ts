import { isPermission, type Permission, permissionNames, type Role } from '@conntext/contracts'
import type { RoleRow } from './queries.ts'

export const EVERYONE = '@everyone'

/** In the catalogue's order, so that the same permissions are the same array. */
export const inOrder = (permissions: readonly string[]): Permission[] =>
  permissionNames.filter((name) => permissions.includes(name))

export const toRole = (row: RoleRow): Role => ({
  id: row.id,
  name: row.name,
  colour: row.colour,
  position: row.position,
  permissions: row.permissions.filter(isPermission),
  requireMfa: row.requireMfa,
  isEveryone: row.isEveryone,
  createdAt: row.createdAt.toISOString(),
})
