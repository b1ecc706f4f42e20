import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import { type AuditEvent, auditFor, systemActor } from '@conntext/contracts'
import { createDatabase } from '@conntext/database'
import { migrateAudit, openAudit } from '@conntext/db-audit'
import {
  migrateServerDetails,
  openServerDetails,
  provisionServerDetails,
  SERVER_DETAILS,
} from '@conntext/db-server-details'
import { startClickHouse, startPostgres } from '@conntext/embedded'
import { newId, silentLogger, systemClock } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { createAuditChain, loadKeys, systemKeys } from '@conntext/system/admin'

const log = silentLogger

/** The chain over engines of its own, as durable as in production; and the same ClickHouse bare, for the baseline. */
export async function startChainStores() {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-bench-chain-'))
  const postgres = await startPostgres({ directory: join(directory, 'postgres'), superuserPassword: 'bench' })
  const clickhouse = await startClickHouse({
    directory: join(directory, 'clickhouse'),
    user: 'bench',
    password: 'bench',
  })
  await createDatabase(postgres.url('postgres'), SERVER_DETAILS)
  await migrateServerDetails(postgres.url(SERVER_DETAILS))
  await provisionServerDetails(postgres.url(SERVER_DETAILS), { auth: 'bench', system: 'bench' })
  const url = postgres.url(SERVER_DETAILS, 'conntext_system', 'bench')
  const db = openServerDetails({ url, poolSize: 8, applicationName: 'bench' })
  const connection = { url: clickhouse.url, username: 'bench', password: 'bench', log }
  await migrateAudit({ ...connection, database: 'chained' })
  await migrateAudit({ ...connection, database: 'bare' })
  const audit = openAudit({ ...connection, database: 'chained' })
  const keyring = new Keyring({ ...systemKeys, db, masterKey: new Uint8Array(32).fill(1), log })
  await loadKeys(db, keyring)
  const chain = createAuditChain({ db, audit, keyring, clock: systemClock, log, nudge: () => {} })
  await chain.start()
  const bare = createClient({ url: clickhouse.url, username: 'bench', password: 'bench', database: 'bare' })
  return {
    db,
    audit,
    keyring,
    ingest: chain.ingest,
    bare,
    async [Symbol.asyncDispose]() {
      await chain.stop()
      await Promise.all([db.close(), audit.close(), bare.close()])
      await Promise.all([postgres.stop(), clickhouse.stop()])
      await rm(directory, { recursive: true, force: true })
    },
  }
}
export type ChainStores = Awaited<ReturnType<typeof startChainStores>>

const make = auditFor('auth')

/** Events as they are at their most frequent: logins, refusals, role changes. */
export const someEvents = (count: number): AuditEvent[] =>
  Array.from({ length: count }, (_, i) => {
    const actor = {
      ...{ kind: 'user' as const, id: newId(), sessionId: newId(), requestId: newId(), reason: null },
      ...{ address: `192.0.2.${i % 256}`, userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101' },
    }
    if (i % 3 === 0) return make('session.created', actor, newId(), {})
    if (i % 3 === 1)
      return make('login.failed', { ...actor, kind: 'anonymous', id: null }, newId(), { code: 'login.wrong' })
    return make('member.rolesChanged', { ...systemActor, ...actor }, newId(), { added: [newId()], removed: [] })
  })
