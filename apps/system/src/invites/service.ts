import type { AuthPort, Invite, InvitePreview, Member, NewInvite, Page, PageQuery } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import {
  accessErrors,
  actorOf,
  type Caller,
  type Guard,
  inScope,
  pageById,
  pageRequest,
  type Refused,
} from '@conntext/http'
import { type Clock, newId, randomToken } from '@conntext/kernel'
import type { KeyedHash, Keyring } from '@conntext/keyring'
import type { Static } from '@sinclair/typebox'
import { recordAudit, systemAudit } from '../recorder.ts'
import { readSettings } from '../server/queries.ts'
import { inviteErrors } from './errors.ts'
import { mayGive } from './giving.ts'
import { findInvite, type InviteRow, insertInvite, revoke, selectInvites } from './queries.ts'
import { assertUsable, isDead } from './usable.ts'

// 96 bits, 16 characters: short enough to be typed, too many to be guessed.
const CODE_BYTES = 12

export type InviteKeys = { keyring: Keyring; hash: KeyedHash }
export type InviteDeps = {
  db: ServerDetails
  guard: Guard
  clock: Clock
  keys: InviteKeys
  auth: Pick<AuthPort, 'join'>
  refused: Refused
  nudge(): void
}

export const inviteKeys = (keyring: Keyring): InviteKeys => ({ keyring, hash: keyring.hasher('invite-codes') })

/** @throws access.forbidden, invite.roleNotYours (403), invite.noSuchRole (422) */
export async function createInvite(deps: InviteDeps, caller: Caller, input: NewInvite): Promise<Invite> {
  const { maxUses = null, expiresInSeconds = null, roleId = null } = input
  if (roleId !== null) await assertMayGive(deps, caller, roleId)
  const id = newId()
  const code = randomToken(CODE_BYTES)
  const { sealed, dataKeyId } = deps.keys.keyring.seal(code, inviteCodeContext(id))
  const createdAt = deps.clock.now()
  const expiresAt = expiresInSeconds === null ? null : new Date(createdAt.getTime() + expiresInSeconds * 1000)
  const row = await deps.db.transaction(async (tx) => {
    const data = { maxUses, expiresAt: expiresAt?.toISOString() ?? null, roleId }
    await recordAudit(tx, [systemAudit('invite.created', actorOf(caller), id, data)])
    return insertInvite(tx, {
      id,
      codeHash: deps.keys.hash(code),
      codeSealed: sealed,
      dataKeyId,
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

/** Whose invites somebody sees and revokes; undefined for those of all. @throws access.forbidden (403) */
async function reachOf(guard: Guard, caller: Caller): Promise<string | undefined> {
  if (await guard.allows(caller, 'invite.manage')) return undefined
  // One's own are everybody's to see. To an API token they are codes that let people in.
  if (!inScope(caller, 'invite.create')) throw accessErrors.forbidden('This needs the permission invite.create.')
  return caller.userId
}

/** All invites to who manages them, to everybody else their own; newest first. */
export async function listInvites(
  { db, guard, keys }: InviteDeps,
  caller: Caller,
  query: Static<typeof PageQuery>,
): Promise<Page<Invite>> {
  const { limit, after } = pageRequest(query)
  const creatorId = await reachOf(guard, caller)
  const rows = await selectInvites(db, { creatorId, before: after, limit: limit + 1 })
  const { items, nextCursor } = pageById(rows, limit, (row) => row)
  return { items: await Promise.all(items.map((row) => toInvite(keys, row))), nextCursor }
}

/** @throws invite.notFound (404), also for one of somebody else's that the caller may not know of */
export async function revokeInvite(deps: InviteDeps, caller: Caller, id: string): Promise<void> {
  const creatorId = await reachOf(deps.guard, caller)
  await deps.db.transaction(async (tx) => {
    if (!(await revoke(tx, { id, creatorId, at: deps.clock.now() }))) throw inviteErrors.notFound()
    await recordAudit(tx, [systemAudit('invite.revoked', actorOf(caller), id, {})])
  })
  deps.nudge()
}

/**
 * What an invite's code tells whoever holds it: that it is good, until when, and for which server. Not who made it, or
 * how often it was used: codes get about.
 * @throws invite.notFound (404), invite.expired, invite.usedUp (410)
 */
export async function previewInvite({ db, guard, clock, keys }: InviteDeps, code: string): Promise<InvitePreview> {
  const invite = await findInvite(db, keys.hash(code))
  if (invite && (await isDead(guard, invite))) throw inviteErrors.notFound()
  assertUsable(invite, clock.now())
  const { name } = await readSettings(db)
  return { serverName: name, expiresAt: invite.expiresAt?.toISOString() ?? null }
}

/** Makes somebody who has left a member again. @throws what auth's `join` does */
export const redeemInvite = ({ auth }: InviteDeps, caller: Caller, code: string): Promise<Member> =>
  auth.join({ userId: caller.userId, inviteCode: code, actor: actorOf(caller) })

/** An invite must not give what its maker couldn't; whether it still may is asked again when it is used. */
async function assertMayGive(deps: InviteDeps, caller: Caller, roleId: string): Promise<void> {
  const { guard, refused } = deps
  const refuse = () => refused(caller, 'role.manage', 'POST /v1/invites')
  if (!(await guard.allows(caller, 'role.manage'))) {
    refuse()
    throw accessErrors.forbidden('Inviting with a role needs the permission role.manage.')
  }
  const { snapshot } = await guard.authority()
  if (!snapshot.roles.some((one) => one.id === roleId && !one.isEveryone)) {
    throw inviteErrors.noSuchRole({ errors: [{ path: '/body/roleId', message: 'is not a role that can be given' }] })
  }
  if (await mayGive(deps, caller, roleId)) return
  refuse()
  throw inviteErrors.roleNotYours('Only roles below your own highest one, with no permission that you lack.')
}

/** What an invite's code is sealed for. */
export const inviteCodeContext = (id: string): string => `invite:${id}`

const toInvite = async ({ keyring }: InviteKeys, row: InviteRow): Promise<Invite> => ({
  id: row.id,
  code: (
    await keyring.open({ sealed: row.codeSealed, dataKeyId: row.dataKeyId }, inviteCodeContext(row.id))
  ).toString(),
  creatorId: row.creatorId,
  roleId: row.roleId,
  maxUses: row.maxUses,
  uses: row.uses,
  expiresAt: row.expiresAt?.toISOString() ?? null,
  createdAt: row.createdAt.toISOString(),
})
