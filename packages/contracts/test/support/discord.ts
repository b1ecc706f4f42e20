import { type AuthoritySnapshot, type Grant, type Permission, permissionNames } from '../../src/index.ts'

/**
 * What a member may do, told as Discord's documentation tells it, in sets of names: slow, and plain enough to be read
 * against it (https://discord.com/developers/docs/topics/permissions#permission-overwrites). What is our own stands at
 * its beginning and end: standing, second factors, categories that are asked before their channels, time-outs, and what
 * an API token is good for.
 */
export function mayDo(world: AuthoritySnapshot, member: Grant, place: string | undefined, now: number): Permission[] {
  const all = inPerson(world, member, place, now)
  if (member.scopes === undefined || member.scopes === null) return all
  if (member.scopes.includes('administrator')) return all
  return all.filter((name) => member.scopes!.includes(name))
}

function inPerson(world: AuthoritySnapshot, member: Grant, place: string | undefined, now: number): Permission[] {
  const nothing: Permission[] = []
  if (member.standing !== 'active') return nothing
  const channel = world.channels.find((one) => one.id === place)
  if (place !== undefined && !channel) return nothing
  if (member.userId === world.ownerId) return permissionNames
  const needsNoFactor = member.mfa || member.kind === 'bot'
  if (world.server.requireMfa && !needsNoFactor) return nothing

  const roles = world.roles.filter((role) => {
    if (role.isEveryone) return true
    return member.roleIds.includes(role.id) && (!role.requireMfa || needsNoFactor)
  })
  const permissions = new Set<string>()
  for (const role of roles) for (const permission of role.permissions) permissions.add(permission)
  if (permissions.has('administrator')) return permissionNames

  if (channel) {
    const theirs = roles.filter((role) => !role.isEveryone).map((role) => role.id)
    for (const level of [channel.parentId, channel.id]) {
      applyOverwrites(permissions, world, { userId: member.userId, roleIds: theirs }, level)
    }
    if (!permissions.has('channel.view')) return nothing
  }
  if (member.timedOutUntil !== null && new Date(member.timedOutUntil).getTime() > now) {
    return permissionNames.filter((name) => permissions.has(name) && ['channel.view', 'message.history'].includes(name))
  }
  return permissionNames.filter((name) => permissions.has(name))
}

type Holder = Pick<Grant, 'userId' | 'roleIds'>

function applyOverwrites(permissions: Set<string>, world: AuthoritySnapshot, member: Holder, level: string | null) {
  const here = world.overrides.filter((one) => one.channelId === level)
  const everyone = world.roles.find((role) => role.isEveryone)

  // 1. @everyone: denied, then allowed.
  for (const one of here.filter((one) => one.targetKind === 'role' && one.targetId === everyone?.id)) {
    for (const permission of one.deny) permissions.delete(permission)
    for (const permission of one.allow) permissions.add(permission)
  }
  // 2. The member's roles: everything that any denies, then everything that any allows.
  const theirs = here.filter((one) => one.targetKind === 'role' && member.roleIds.includes(one.targetId))
  for (const one of theirs) for (const permission of one.deny) permissions.delete(permission)
  for (const one of theirs) for (const permission of one.allow) permissions.add(permission)
  // 3. The member: denied, then allowed.
  for (const one of here.filter((one) => one.targetKind === 'member' && one.targetId === member.userId)) {
    for (const permission of one.deny) permissions.delete(permission)
    for (const permission of one.allow) permissions.add(permission)
  }
}
