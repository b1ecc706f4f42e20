import { auditFor, type Member, type MemberPatch, type Page, SERVER_STREAM } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, type PageRequest, pageById } from '@conntext/http'
import { type Changes, streamEvent } from '../changes.ts'
import type { Refusals } from '../refusals.ts'
import { type Administrator, administer, assertBelow, assertHeld } from '../roles/administration.ts'
import { findRoles, type RoleRow } from '../roles/queries.ts'
import type { Transaction } from '../transaction.ts'
import { toUser } from '../users/users.ts'
import { memberErrors } from './errors.ts'
import { findMember, giveRoles, listMembers, type MemberRow, takeRoles } from './queries.ts'

const audit = auditFor('auth')

type Dependencies = { db: ServerDetails; changes: Changes; refusals: Refusals }

export function createMembers(deps: Dependencies) {
  const { db, changes } = deps

  return {
    async list(page: PageRequest): Promise<Page<Member>> {
      return pageById(await listMembers(db, page), page.limit, toMember)
    },

    /** @throws member.notFound (404), also for those who aren't in good standing */
    async get(id: string): Promise<Member> {
      const row = await findMember(db, id)
      if (!row) throw memberErrors.notFound()
      return toMember(row)
    },

    /**
     * Sets a member's roles. Whoever isn't the owner gives and takes only roles below their own highest one, and gives
     * none with a permission that they don't have.
     * @throws member.notFound, .unknownRole, .everyoneNotGiven, role.notBelowYours, role.permissionNotHeld
     */
    async update(caller: Caller, id: string, { roleIds }: MemberPatch): Promise<Member> {
      const member = await administer(deps, { caller, route: 'PATCH /v1/members/:id' }, async (tx, who) => {
        const row = await findMember(tx, id)
        if (!row) throw memberErrors.notFound()
        const { added, removed } = await planned(tx, who, row.roleIds, roleIds ?? row.roleIds)
        if (added.length + removed.length === 0) return toMember(row)
        await takeRoles(tx, id, removed)
        await giveRoles(tx, id, added)
        const after = toMember((await findMember(tx, id))!)
        await changes.owe(tx, {
          audit: [audit('member.rolesChanged', actorOf(caller), id, { added, removed })],
          events: [streamEvent(SERVER_STREAM, 'member.updated', memberChange(after))],
        })
        return after
      })
      await changes.settled({ authority: [{ userId: id }] })
      return member
    },
  }
}

export type Members = ReturnType<typeof createMembers>

/** What is to be given and taken, once it is clear that it may be. */
async function planned(
  tx: Transaction,
  who: Administrator,
  current: string[],
  wanted: string[],
): Promise<{ added: string[]; removed: string[] }> {
  const added = wanted.filter((id) => !current.includes(id))
  const removed = current.filter((id) => !wanted.includes(id))
  const touched = new Map<string, RoleRow>()
  for (const role of await findRoles(tx, [...added, ...removed])) touched.set(role.id, role)
  for (const id of added) {
    const role = touched.get(id)
    if (!role) throw memberErrors.unknownRole(`There is no role ${id}.`)
    if (role.isEveryone) throw memberErrors.everyoneNotGiven()
    assertBelow(who, role)
    assertHeld(who, role.permissions)
  }
  for (const id of removed) assertBelow(who, touched.get(id)!)
  return { added, removed }
}

const memberChange = ({ user, nickname, roleIds, timedOutUntil }: Member) => ({
  userId: user.id,
  nickname,
  roleIds,
  timedOutUntil,
})

const toMember = (row: MemberRow): Member => ({
  user: toUser(row),
  nickname: row.nickname,
  roleIds: row.roleIds,
  timedOutUntil: row.timedOutUntil?.toISOString() ?? null,
  joinedAt: row.joinedAt.toISOString(),
})
