import {
  auditFor,
  changedFields,
  type NewRole,
  type Page,
  type Role,
  type RolePatch,
  SERVER_STREAM,
} from '@conntext/contracts'
import { nameKey } from '@conntext/db-server-details'
import { actorOf, type Caller, cleanLabel, type PageRequest, pageById } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { raiseVersion } from '../authority/queries.ts'
import { type Changes, streamEvent } from '../changes.ts'
import type { Transaction } from '../transaction.ts'
import { type AdministrationDependencies, type Administrator, administer } from './administration.ts'
import { roleErrors } from './errors.ts'
import {
  countRoles,
  deleteRole,
  findRole,
  insertRole,
  isRoleNameTaken,
  listRoles,
  type RoleRow,
  shiftRoles,
  updateRole,
} from './queries.ts'
import { inOrder, toRole } from './roles.ts'

const MOST_ROLES = 250
// Right above @everyone: a new role outranks nobody.
const FIRST_POSITION = 1

const audit = auditFor('auth')

type Dependencies = AdministrationDependencies & { changes: Changes }

const updatedEvents = (rows: RoleRow[]) =>
  rows.toSorted((a, b) => a.position - b.position).map((row) => streamEvent(SERVER_STREAM, 'role.updated', toRole(row)))

export function createRoles(deps: Dependencies) {
  const { db, changes } = deps

  return {
    async list(page: PageRequest): Promise<Page<Role>> {
      return pageById(await listRoles(db, page), page.limit, toRole)
    },

    /** @throws role.notFound (404) */
    async get(id: string): Promise<Role> {
      const row = await findRole(db, id)
      if (!row) throw roleErrors.notFound()
      return toRole(row)
    },

    /**
     * Makes a role below all others but @everyone.
     * @throws role.nameTaken, .tooMany (409), .permissionNotHeld, .mfaNotHeld (403)
     */
    async create(caller: Caller, input: NewRole): Promise<Role> {
      const request = { caller, route: 'POST /v1/roles', permission: 'role.manage' } as const
      const role = await administer(deps, request, async (tx, who) => {
        const { colour = null, permissions = [], requireMfa = false } = input
        const name = cleanLabel(input.name)
        who.assertHeld(permissions)
        if (requireMfa) assertHasMfa(who)
        if (await isRoleNameTaken(tx, nameKey(name))) throw roleErrors.nameTaken()
        if ((await countRoles(tx)) >= MOST_ROLES) throw roleErrors.tooMany(`It can have ${MOST_ROLES}.`)
        const shifted = await shiftRoles(tx, { from: FIRST_POSITION, by: 1 })
        const values = { id: newId(), name, nameKey: nameKey(name), colour, requireMfa, position: FIRST_POSITION }
        const created = toRole(await insertRole(tx, { ...values, permissions: inOrder(permissions) }))
        await raiseVersion(tx)
        const data = { name, permissions: created.permissions }
        await changes.owe(tx, {
          audit: [audit('role.created', actorOf(caller), created.id, data)],
          events: [streamEvent(SERVER_STREAM, 'role.created', created), ...updatedEvents(shifted)],
        })
        return created
      })
      await changes.settled({ authority: [{}] })
      return role
    },

    /**
     * Whoever isn't the owner changes only roles below their own highest one, and moves them no further up than that.
     * @throws role.notFound, .nameTaken, .everyoneFixed, .notBelowYours, .permissionNotHeld, .mfaNotHeld
     */
    async update(caller: Caller, id: string, patch: RolePatch): Promise<Role> {
      const request = { caller, route: 'PATCH /v1/roles/:id', permission: 'role.manage' } as const
      const role = await administer(deps, request, async (tx, who) => {
        const row = await findRole(tx, id)
        if (!row) throw roleErrors.notFound()
        who.assertBelow(row)
        const before = toRole(row)
        const wanted = await normalised(tx, patch)
        const changed = changedFields<RolePatch>(before, wanted)
        if (!changed) return before
        assertMayChange(who, before, wanted, Object.keys(changed.changes))
        const name = wanted.name === undefined ? {} : { nameKey: nameKey(wanted.name) }
        if (name.nameKey && (await isRoleNameTaken(tx, name.nameKey, id))) throw roleErrors.nameTaken()
        const moved = await makeWay(tx, before.position, wanted.position ?? before.position)
        const after = await updateRole(tx, id, { ...wanted, ...name })
        await raiseVersion(tx)
        await changes.owe(tx, {
          audit: [audit('role.updated', actorOf(caller), id, changed)],
          events: updatedEvents([after, ...moved]),
        })
        return toRole(after)
      })
      await changes.settled({ authority: [{}] })
      return role
    },

    /** Deletes the role and takes it from whoever has it. @throws role.notFound, .everyoneFixed, .notBelowYours */
    async remove(caller: Caller, id: string): Promise<void> {
      const request = { caller, route: 'DELETE /v1/roles/:id', permission: 'role.manage' } as const
      await administer(deps, request, async (tx, who) => {
        const row = await findRole(tx, id)
        if (!row) throw roleErrors.notFound()
        if (row.isEveryone) throw roleErrors.everyoneFixed('It cannot be deleted.')
        who.assertBelow(row)
        await deleteRole(tx, id)
        const shifted = await shiftRoles(tx, { from: row.position + 1, by: -1 })
        await raiseVersion(tx)
        await changes.owe(tx, {
          audit: [audit('role.deleted', actorOf(caller), id, { name: row.name })],
          events: [streamEvent(SERVER_STREAM, 'role.deleted', { id }), ...updatedEvents(shifted)],
        })
      })
      await changes.settled({ authority: [{}] })
    },
  }
}

export type Roles = ReturnType<typeof createRoles>

/** The patch as it is kept; a position behind the last is the last. */
async function normalised(tx: Transaction, { name, colour, permissions, requireMfa, position }: RolePatch) {
  return {
    ...(name === undefined ? {} : { name: cleanLabel(name) }),
    ...(colour === undefined ? {} : { colour }),
    ...(permissions === undefined ? {} : { permissions: inOrder(permissions) }),
    ...(requireMfa === undefined ? {} : { requireMfa }),
    ...(position === undefined ? {} : { position: Math.min(position, (await countRoles(tx)) - 1) }),
  } satisfies RolePatch
}

function assertMayChange(who: Administrator, before: Role, wanted: RolePatch, fields: string[]): void {
  if (before.isEveryone && fields.some((field) => field !== 'permissions')) throw roleErrors.everyoneFixed()
  who.assertHeld(wanted.permissions?.filter((name) => !before.permissions.includes(name)) ?? [])
  if (fields.includes('position')) who.assertBelow({ name: before.name, position: wanted.position! })
  if (!fields.includes('requireMfa')) return
  if (wanted.requireMfa) assertHasMfa(who)
  // From now on it counts for more people: that is granting what it holds.
  else who.assertHeld(wanted.permissions ?? before.permissions)
}

// The owner and bots are asked for no second factor themselves.
function assertHasMfa(who: Administrator): void {
  if (!who.grant.mfa && !who.isOwner && who.grant.kind === 'user') throw roleErrors.mfaNotHeld()
}

/** Moves those between the two positions out of a role's way, which leaves no gap. */
async function makeWay(tx: Transaction, from: number, to: number): Promise<RoleRow[]> {
  if (to === from) return []
  return to > from ? shiftRoles(tx, { from: from + 1, to, by: -1 }) : shiftRoles(tx, { from: to, to: from - 1, by: 1 })
}
