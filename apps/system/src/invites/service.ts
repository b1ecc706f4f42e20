import type { Invite, NewInvite, Page, PageQuery } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { accessErrors, actorOf, type Caller, type Guard, pageById, pageRequest, type Refused } from '@conntext/http'
import { type Clock, deriveKey, keyedHash, newId, randomToken, seal, unseal } from '@conntext/kernel'
import type { Static } from '@sinclair/typebox'
import { recordAudit, systemAudit } from '../recorder.ts'
import { inviteErrors } from './errors.ts'
import { mayGive } from './giving.ts'
import { type InviteRow, insertInvite, revoke, selectInvites } from './queries.ts'

// 96 bits, 16 characters: short enough to be typed, too many to be guessed.
const CODE_BYTES = 12

export type InviteKeys = { hash: Uint8Array; seal: Uint8Array }
export type InviteDeps = {
  db: ServerDetails
  guard: Guard
  clock: Clock
  keys: InviteKeys
  refused: Refused
  nudge(): void
}

export const inviteKeys = (key: Uint8Array): InviteKeys => ({
  hash: deriveKey(key, 'invite-hash'),
  seal: deriveKey(key, 'invite-seal'),
})

export const codeHash = ({ hash }: InviteKeys, code: string): Uint8Array => keyedHash(hash, code)

/** @throws access.forbidden, invite.roleNotYours (403), invite.noSuchRole (422) */
export async function createInvite(deps: InviteDeps, caller: Caller, input: NewInvite): Promise<Invite> {
  const { maxUses = null, expiresInSeconds = null, roleId = null } = input
  if (roleId !== null) await assertMayGive(deps, caller, roleId)
  const id = newId()
  const code = randomToken(CODE_BYTES)
  const createdAt = deps.clock.now()
  const expiresAt = expiresInSeconds === null ? null : new Date(createdAt.getTime() + expiresInSeconds * 1000)
  const row = await deps.db.transaction(async (tx) => {
    const data = { maxUses, expiresAt: expiresAt?.toISOString() ?? null, roleId }
    await recordAudit(tx, [systemAudit('invite.created', actorOf(caller), id, data)])
    return insertInvite(tx, {
      id,
      codeHash: codeHash(deps.keys, code),
      codeSealed: seal(deps.keys.seal, code, sealContext(id)),
      creatorId: caller.userId,
      roleId,
      maxUses,
      expiresAt,
      createdAt,
    })
  })
  deps.nudge()
  return toInvite(deps.keys, row)
}

/** All invites to who manages them, to everybody else their own; newest first. */
export async function listInvites(
  { db, guard, keys }: InviteDeps,
  caller: Caller,
  query: Static<typeof PageQuery>,
): Promise<Page<Invite>> {
  const { limit, after } = pageRequest(query)
  const creatorId = (await guard.allows(caller.userId, 'invite.manage')) ? undefined : caller.userId
  const rows = await selectInvites(db, { creatorId, before: after, limit: limit + 1 })
  return pageById(rows, limit, (row) => toInvite(keys, row))
}

/** @throws invite.notFound (404), also for one of somebody else's that the caller may not know of */
export async function revokeInvite(deps: InviteDeps, caller: Caller, id: string): Promise<void> {
  const creatorId = (await deps.guard.allows(caller.userId, 'invite.manage')) ? undefined : caller.userId
  await deps.db.transaction(async (tx) => {
    if (!(await revoke(tx, { id, creatorId, at: deps.clock.now() }))) throw inviteErrors.notFound()
    await recordAudit(tx, [systemAudit('invite.revoked', actorOf(caller), id, {})])
  })
  deps.nudge()
}

/** An invite must not give what its maker couldn't; whether it still may is asked again when it is used. */
async function assertMayGive(deps: InviteDeps, caller: Caller, roleId: string): Promise<void> {
  const { guard, refused } = deps
  const refuse = () => refused(caller, 'role.manage', 'POST /v1/invites')
  if (!(await guard.allows(caller.userId, 'role.manage'))) {
    refuse()
    throw accessErrors.forbidden('Inviting with a role needs the permission role.manage.')
  }
  const { snapshot } = await guard.authority()
  if (!snapshot.roles.some((one) => one.id === roleId && !one.isEveryone)) {
    throw inviteErrors.noSuchRole({ errors: [{ path: '/body/roleId', message: 'is not a role that can be given' }] })
  }
  if (await mayGive(deps, caller.userId, roleId)) return
  refuse()
  throw inviteErrors.roleNotYours('Only roles below your own highest one, with no permission that you lack.')
}

const sealContext = (id: string): string => `invite:${id}`

const toInvite = (keys: InviteKeys, row: InviteRow): Invite => ({
  id: row.id,
  code: unseal(keys.seal, row.codeSealed, sealContext(row.id)).toString(),
  creatorId: row.creatorId,
  roleId: row.roleId,
  maxUses: row.maxUses,
  uses: row.uses,
  expiresAt: row.expiresAt?.toISOString() ?? null,
  createdAt: row.createdAt.toISOString(),
})
