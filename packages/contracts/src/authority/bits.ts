import { type Permission, participantPermissions, permissionNames } from '../permissions.ts'

// Permissions as bits: a set is one number, and the rules are arithmetic on it.

const bit = new Map<string, bigint>(permissionNames.map((name, index) => [name, 1n << BigInt(index)]))

export const ALL = (1n << BigInt(permissionNames.length)) - 1n
export const ADMINISTRATOR = bitOf('administrator')
export const VIEW = bitOf('channel.view')
/** What a timed-out member keeps: looking, not acting. */
export const READING = VIEW | bitOf('message.history')

export function bitOf(permission: Permission): bigint {
  return bit.get(permission)!
}

/** Names that are no permission (any more) are nothing. */
export const mask = (names: readonly string[]): bigint => names.reduce((all, name) => all | (bit.get(name) ?? 0n), 0n)

export const PARTICIPATING = mask(participantPermissions)

/** In the catalogue's order. */
export const namesOf = (bits: bigint): Permission[] => permissionNames.filter((name) => (bits & bitOf(name)) !== 0n)

/** What an API token lets through; one that was made for everything may do whatever its bearer may. */
export function scopeMask(scopes: readonly Permission[] | null | undefined): bigint {
  if (!scopes) return ALL
  const bits = mask(scopes)
  return (bits & ADMINISTRATOR) !== 0n ? ALL : bits
}
