import {
  auditFor,
  changedFields,
  type Grant,
  type Member,
  type MemberPatch,
  type MembersQuery,
  type Page,
} from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, cleanName, pageById, pageRequest } from '@conntext/http'
import { readGrant } from '../authority/snapshot.ts'
import type { Changes } from '../changes.ts'
import { type AdministrationDependencies, type Administrator, administer } from '../roles/administration.ts'
import { roleErrors } from '../roles/errors.ts'
import { findRole, findRoles, type RoleRow } from '../roles/queries.ts'
import type { Transaction } from '../transaction.ts'
import { updateUser } from '../users/queries.ts'
import { memberErrors } from './errors.ts'
import { memberUpdated, toMember } from './members.ts'
import { findMember, giveRoles, listMembers, type MemberRow, takeRoles } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = AdministrationDependencies & { db: ServerDetails; changes: Changes }

/** What is to become of a member. */
type Wanted = { nickname?: string | null | undefined; roleIds?: string[] | undefined }

export function createMembers(deps: Dependencies) {
  const { db, changes } = deps

  /** Writes what differs, and what it owes; answers the member as they are then, and whether anything differs. */
  const apply = async (tx: Transaction, caller: Caller, row: MemberRow, wanted: Wanted) => {
    const { nickname = row.nickname, roleIds = row.roleIds } = wanted
    const added = roleIds.filter((id) => !row.roleIds.includes(id))
    const removed = row.roleIds.filter((id) => !roleIds.includes(id))
    const rolesDiffer = added.length + removed.length > 0
    const renamed = changedFields<{ nickname: string | null }>({ nickname: row.nickname }, { nickname })
    if (!rolesDiffer && !renamed) return { member: toMember(row), changed: false }
    await takeRoles(tx, row.id, removed)
    await giveRoles(tx, row.id, added)
    if (renamed) await updateUser(tx, row.id, { nickname })
    const member = toMember((await findMember(tx, row.id))!)
    const actor = actorOf(caller)
    await changes.owe(tx, {
      audit: [
        ...(rolesDiffer ? [audit('member.rolesChanged', actor, row.id, { added, removed })] : []),
        ...(renamed ? [audit('member.nicknameChanged', actor, row.id, renamed)] : []),
      ],
      events: [memberUpdated(member)],
    })
    return { member, changed: true }
  }

  /** Changes one role of a member's, leaving the others as they are by then. */
  const changeRole = async (caller: Caller, which: RoleOfMember, to: 'given' | 'taken'): Promise<Member> => {
    const method = to === 'given' ? 'PUT' : 'DELETE'
    const request = { caller, route: `${method} /v1/members/:id/roles/:roleId`, permission: 'role.manage' } as const
    const { member, changed } = await administer(deps, request, async (tx, who) => {
      const row = await findMember(tx, which.id)
      if (!row) throw memberErrors.notFound()
      const role = await findRole(tx, which.roleId)
      if (!role) throw roleErrors.notFound()
      const others = row.roleIds.filter((id) => id !== role.id)
      if (to === 'given') assertGivable(who, role)
      else who.assertBelow(role)
      return apply(tx, caller, row, { roleIds: to === 'given' ? [...others, role.id] : others })
    })
    if (changed) await changes.settled({ authority: [{ userId: which.id }] })
    return member
  }

  return {
    /** The members whose user name, display name or nickname begins with `query`, whatever the case. */
    async list({ roleId, query, ...page }: MembersQuery): Promise<Page<Member>> {
      const request = pageRequest(page)
      const prefix = query?.normalize('NFC').toLowerCase()
      return pageById(await listMembers(db, request, { roleId, prefix }), request.limit, toMember)
    },

    /** @throws member.notFound (404), also for those who aren't in good standing */
    async get(id: string): Promise<Member> {
      const row = await findMember(db, id)
      if (!row) throw memberErrors.notFound()
      return toMember(row)
    },

    /**
     * Sets a member's roles and nickname. Whoever isn't the owner gives and takes only roles below their own highest one,
     * gives none with a permission that they don't have, and renames only those who stand below them; themselves,
     * everybody does.
     * @throws member.notFound, .unknownRole, .everyoneNotGiven, .notBelowYou, .timedOut, role.notBelowYours,
     * .permissionNotHeld, access.forbidden
     */
    async update(caller: Caller, id: string, patch: MemberPatch): Promise<Member> {
      const nickname = patch.nickname && cleanName(patch.nickname, { path: '/body/nickname' })
      const { member, changed } = await administer(
        deps,
        { caller, route: 'PATCH /v1/members/:id' },
        async (tx, who) => {
          const row = await findMember(tx, id)
          if (!row) throw memberErrors.notFound()
          if (nickname !== undefined) assertMayName(who, (await readGrant(tx, id))!)
          if (patch.roleIds !== undefined) await assertMaySet(tx, who, row.roleIds, patch.roleIds)
          return apply(tx, caller, row, { nickname, roleIds: patch.roleIds })
        },
      )
      if (changed) await changes.settled({ authority: [{ userId: id }] })
      return member
    },

    /** @throws member.notFound, role.notFound, member.everyoneNotGiven, role.notBelowYours, .permissionNotHeld */
    giveRole: (caller: Caller, which: RoleOfMember): Promise<Member> => changeRole(caller, which, 'given'),

    /** @throws member.notFound, role.notFound, role.notBelowYours */
    takeRole: (caller: Caller, which: RoleOfMember): Promise<Member> => changeRole(caller, which, 'taken'),
  }
}

export type Members = ReturnType<typeof createMembers>

type RoleOfMember = { id: string; roleId: string }

function assertGivable(who: Administrator, role: RoleRow): void {
  if (role.isEveryone) throw memberErrors.everyoneNotGiven()
  who.assertBelow(role)
  who.assertHeld(role.permissions)
}

async function assertMaySet(tx: Transaction, who: Administrator, current: string[], wanted: string[]): Promise<void> {
  who.demand('role.manage')
  const added = wanted.filter((id) => !current.includes(id))
  const removed = current.filter((id) => !wanted.includes(id))
  const touched = new Map((await findRoles(tx, [...added, ...removed])).map((role) => [role.id, role]))
  for (const id of added) {
    const role = touched.get(id)
    if (!role) throw memberErrors.unknownRole(`There is no role ${id}.`)
    assertGivable(who, role)
  }
  for (const id of removed) who.assertBelow(touched.get(id)!)
}

// A nickname is others' to see: with an API token it takes its scope, and during a timeout nobody renames themselves.
function assertMayName(who: Administrator, target: Grant): void {
  const isOwn = target.userId === who.grant.userId
  if (!isOwn || who.grant.scopes) who.demand('member.nickname')
  if (!isOwn) who.assertOutranks(target)
  else if (who.isTimedOut) throw memberErrors.timedOut()
}
