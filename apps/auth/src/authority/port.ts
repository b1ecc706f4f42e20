import type { Bus } from '@conntext/bus'
import type { AuthPort } from '@conntext/contracts'
import type { KnownTime } from '@conntext/database'
import type { ServerDetails } from '@conntext/db-server-details'
import { busProbe, clockDoubtProbe, createHealth, outboxProbe, type Probe, postgresProbe, seldom } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import type { KeyedHash } from '@conntext/keyring'
import type { Mailer } from '@conntext/mailer'
import type { OutboxRelay } from '@conntext/outbox'
import { jsonWebKeySet } from '../keys/access-tokens.ts'
import type { Membership } from '../membership/service.ts'
import { listRevokedSessions } from '../sessions/queries.ts'
import { createTokenIdentification } from '../tokens/identify.ts'
import { listRevokedApiTokens } from '../tokens/queries.ts'
import { findByUsernames, findOwnUser } from '../users/queries.ts'
import { toOwnUser } from '../users/users.ts'
import { listGrants } from './queries.ts'
import { readSnapshot, toGrant } from './snapshot.ts'

type Dependencies = {
  db: ServerDetails
  bus: Bus
  mailer: Pick<Mailer, 'check'>
  relay: OutboxRelay
  clock: Clock
  tokenHash: KeyedHash
  membership: Pick<Membership, 'join'>
  knownTime: KnownTime
}

/** What the other services, and this one's own guard, ask of auth. */
export function createAuthPort(deps: Dependencies): AuthPort {
  const { db, bus, relay, clock, mailer, tokenHash, membership, knownTime } = deps
  const grants = async (userIds: string[]) => (userIds.length > 0 ? (await listGrants(db, userIds)).map(toGrant) : [])
  const outbox = outboxProbe({
    lag: () => relay.lag(),
    clock,
    table: 'auth_outbox',
    receivers: 'the system service, the messaging service and the mail server',
  })

  const mail = mailer.check ? [seldom(mailProbe(mailer.check), MAIL_EVERY_MS)] : []

  return {
    // In one snapshot of the database: never the roles from before a change and the overrides from after it.
    authority: () =>
      db.transaction((tx) => readSnapshot(tx), { isolationLevel: 'repeatable read', accessMode: 'read only' }),
    grant: async ({ userId }) => (await grants([userId]))[0] ?? null,
    grants: ({ userIds }) => grants(userIds),
    keys: () => jsonWebKeySet(db, clock.now()),
    async revokedSessions({ seconds }) {
      const since = new Date(clock.now().getTime() - seconds * 1000)
      const rows = (await Promise.all([listRevokedSessions(db, since), listRevokedApiTokens(db, since)])).flat()
      return { sessions: rows.map((row) => ({ id: row.id, revokedAt: row.revokedAt!.toISOString() })) }
    },
    identifyToken: createTokenIdentification({ db, clock, tokenHash }),
    join: (request) => membership.join(request),
    findUsers: ({ usernames }) => findByUsernames(db, usernames),
    async ownUser({ userId }) {
      const row = await findOwnUser(db, userId)
      return row ? toOwnUser(row) : null
    },
    health: createHealth(
      'auth',
      [postgresProbe(db, 'Server Details'), outbox, busProbe(bus), clockDoubtProbe(() => knownTime.look()), ...mail],
      clock,
    ),
  }
}

// A connection and a login at another's server, each time.
const MAIL_EVERY_MS = 60_000

const mailProbe = (check: () => Promise<void>): Probe => ({
  name: 'mail',
  critical: false,
  remedy: 'Check CONNTEXT_SMTP_URL, and that the mail server lets this one in. Mails wait until it does.',
  async run() {
    await check()
    return undefined
  },
})
