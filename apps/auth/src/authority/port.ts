import type { AuthoritySnapshot, AuthPort, Grant } from '@conntext/contracts'
import {
  newServerSettings,
  type ServerDetails,
  type ServerDetailsExecutor,
  toChannel,
  toOverride,
  toServerInfo,
} from '@conntext/db-server-details'
import { createHealth, outboxProbe, postgresProbe } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import type { OutboxRelay } from '@conntext/outbox'
import { jsonWebKeySet } from '../keys/access-tokens.ts'
import { toRole } from '../roles/roles.ts'
import { listRevokedSessions } from '../sessions/queries.ts'
import { createTokenIdentification } from '../tokens/identify.ts'
import { findOwnUser } from '../users/queries.ts'
import { toOwnUser } from '../users/users.ts'
import { findSettings, findState, listAllChannels, listAllRoles, listGrants, listOverrides } from './queries.ts'

type Dependencies = { db: ServerDetails; relay: OutboxRelay; clock: Clock; tokenHash: KeyedHash }

/** What the other services, and this one's own guard, ask of auth. */
export function createAuthPort({ db, relay, clock, tokenHash }: Dependencies): AuthPort {
  const grants = async (userIds: string[]) => (userIds.length > 0 ? (await listGrants(db, userIds)).map(toGrant) : [])
  const outbox = outboxProbe({
    lag: () => relay.lag(),
    clock,
    table: 'auth_outbox',
    receivers: 'the system service',
  })

  return {
    // In one snapshot of the database: never the roles from before a change and the overrides from after it.
    authority: () =>
      db.transaction((tx) => readSnapshot(tx), { isolationLevel: 'repeatable read', accessMode: 'read only' }),
    grant: async ({ userId }) => (await grants([userId]))[0] ?? null,
    grants: ({ userIds }) => grants(userIds),
    keys: () => jsonWebKeySet(db),
    async revokedSessions({ seconds }) {
      const rows = await listRevokedSessions(db, new Date(clock.now().getTime() - seconds * 1000))
      return { sessions: rows.map((row) => ({ id: row.id, revokedAt: row.revokedAt!.toISOString() })) }
    },
    identifyToken: createTokenIdentification({ db, clock, tokenHash }),
    async ownUser({ userId }) {
      const row = await findOwnUser(db, userId)
      return row ? toOwnUser(row) : null
    },
    health: createHealth('auth', [postgresProbe(db, 'Server Details'), outbox], clock),
  }
}

async function readSnapshot(tx: ServerDetailsExecutor): Promise<AuthoritySnapshot> {
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
    channels: (await listAllChannels(tx)).map(toChannel),
    overrides: (await listOverrides(tx)).map(toOverride),
  }
}

const toGrant = (row: Awaited<ReturnType<typeof listGrants>>[number]): Grant => ({
  userId: row.userId,
  kind: row.kind,
  standing: row.standing,
  timedOutUntil: row.timedOutUntil?.toISOString() ?? null,
  mfa: row.mfa,
  roleIds: row.roleIds,
})
