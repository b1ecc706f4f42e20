import type { AuthoritySnapshot, Grant } from '@conntext/contracts'
import {
  newServerSettings,
  type ServerDetailsExecutor,
  toChannel,
  toOverride,
  toServerInfo,
} from '@conntext/db-server-details'
import { toRole } from '../roles/roles.ts'
import { findSettings, findState, listAllChannels, listAllRoles, listGrants, listOverrides } from './queries.ts'

/** What decides what people may do on the server as a whole: the snapshot without channels. */
export async function readServerSnapshot(tx: ServerDetailsExecutor): Promise<AuthoritySnapshot> {
  const state = await findState(tx)
  const settings = await findSettings(tx)
  const roles = (await listAllRoles(tx)).map(toRole)
  const everyone = roles.find((role) => role.isEveryone)!
  return {
    version: state.version + (settings?.version ?? 0),
    ownerId: state.ownerId,
    // Until system has written its first settings, those that it is going to write.
    server: toServerInfo(settings ?? { ...newServerSettings, createdAt: new Date(everyone.createdAt) }),
    roles,
    channels: [],
    overrides: [],
  }
}

export const readSnapshot = async (tx: ServerDetailsExecutor): Promise<AuthoritySnapshot> => ({
  ...(await readServerSnapshot(tx)),
  channels: (await listAllChannels(tx)).map(toChannel),
  overrides: (await listOverrides(tx)).map(toOverride),
})

/** What somebody brings, whatever their standing; for an id that nobody has, undefined. */
export async function readGrant(tx: ServerDetailsExecutor, userId: string): Promise<Grant | undefined> {
  const [row] = await listGrants(tx, [userId])
  return row && toGrant(row)
}

export const toGrant = (row: Awaited<ReturnType<typeof listGrants>>[number]): Grant => ({
  userId: row.userId,
  kind: row.kind,
  standing: row.standing,
  timedOutUntil: row.timedOutUntil?.toISOString() ?? null,
  mfa: row.mfa,
  roleIds: row.roleIds,
})
