import {
  auditFor,
  changedFields,
  type NewRole,
  type Page,
  type Role,
  type RolePatch,
  SERVER_STREAM,
} from '@conntext/contracts'
import { nameKey, type ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, type PageRequest, pageById } from '@conntext/http'
import { newId } from '@conntext/kernel'
import { raiseVersion } from '../authority/queries.ts'
import { type Changes, streamEvent } from '../changes.ts'
import type { Refusals } from '../refusals.ts'
import { administer, assertBelow, assertHeld } from './administration.ts'
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

type Dependencies = { db: ServerDetails; changes: Changes; refusals: Refusals }

const updatedEvents = (rows: RoleRow[]) =>
  rows.toSorted((a, b) => a.position - b.position).map((row) => streamEvent(SERVER_STREAM, 'role.updated', toRole(row)))

export function createRoles(deps: Dependencies) {
  const { db, changes } = deps

  return {
    async list(page: PageRequest): Promise<Page<Role>> {
      return pageById(await listRoles(db, page), page.limit, toRole)
    },

    /** Makes a role below all others but @everyone. @throws role.nameTaken, role.tooMany (409), .permissionNotHeld */
    async create(caller: Caller, input: NewRole): Promise<Role> {
      const role = await administer(deps, { caller, route: 'POST /v1/roles' }, async (tx, who) => {
        const { colour = null, permissions = [] } = input
        const name = input.name.trim()
        assertHeld(who, permissions)
        if (await isRoleNameTaken(tx, nameKey(name))) throw roleErrors.nameTaken()
        if ((await countRoles(tx)) >= MOST_ROLES) throw roleErrors.tooMany(`It can have ${MOST_ROLES}.`)
        const shifted = await shiftRoles(tx, FIRST_POSITION, 1)
        const values = { id: newId(), name, nameKey: nameKey(name), colour, position: FIRST_POSITION }
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

    /** @throws role.notFound, role.nameTaken, .everyoneFixed, .notBelowYours, .permissionNotHeld */
    async update(caller: Caller, id: string, input: RolePatch): Promise<Role> {
      const role = await administer(deps, { caller, route: 'PATCH /v1/roles/:id' }, async (tx, who) => {
        const row = await findRole(tx, id)
        if (!row) throw roleErrors.notFound()
        assertBelow(who, row)
        const before = toRole(row)
        const wanted = normalised(input)
        const changed = changedFields<RolePatch>(before, wanted)
        if (!changed) return before
        if (row.isEveryone && Object.keys(changed.changes).some((field) => field !== 'permissions')) {
          throw roleErrors.everyoneFixed()
        }
        assertHeld(who, wanted.permissions?.filter((name) => !before.permissions.includes(name)) ?? [])
        const name = wanted.name === undefined ? {} : { nameKey: nameKey(wanted.name) }
        if (name.nameKey && (await isRoleNameTaken(tx, name.nameKey, id))) throw roleErrors.nameTaken()
        const after = toRole(await updateRole(tx, id, { ...wanted, ...name }))
        await raiseVersion(tx)
        await changes.owe(tx, {
          audit: [audit('role.updated', actorOf(caller), id, changed)],
          events: [streamEvent(SERVER_STREAM, 'role.updated', after)],
        })
        return after
      })
      await changes.settled({ authority: [{}] })
      return role
    },

    /** Deletes the role and takes it from whoever has it. @throws role.notFound, .everyoneFixed, .notBelowYours */
    async remove(caller: Caller, id: string): Promise<void> {
      await administer(deps, { caller, route: 'DELETE /v1/roles/:id' }, async (tx, who) => {
        const row = await findRole(tx, id)
        if (!row) throw roleErrors.notFound()
        if (row.isEveryone) throw roleErrors.everyoneFixed('It cannot be deleted.')
        assertBelow(who, row)
        await deleteRole(tx, id)
        const shifted = await shiftRoles(tx, row.position + 1, -1)
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

const normalised = ({ name, colour, permissions }: RolePatch): RolePatch => ({
  ...(name === undefined ? {} : { name: name.trim() }),
  ...(colour === undefined ? {} : { colour }),
  ...(permissions === undefined ? {} : { permissions: inOrder(permissions) }),
})
