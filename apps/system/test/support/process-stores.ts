import { openAudit } from '@conntext/db-audit'
import { openServerDetails } from '@conntext/db-server-details'
import { silentLogger } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { systemKeys } from '../../src/keys.ts'
import type { System } from './system.ts'

/** What a process of its own has to know of a test's stores. */
export type GivenStores = {
  postgres: string
  clickhouse: { url: string; username: string; password: string; database: string }
  masterKey: number[]
}

export function storesOf({ databases, auditConnection, deps }: System): GivenStores {
  const { url, username, password, database } = auditConnection
  const postgres = Object.assign(new URL(databases.adminUrl), { username: 'conntext_system', password: 'test' })
  return {
    postgres: postgres.href,
    clickhouse: { url, username, password, database },
    masterKey: [...(deps.masterKey as Uint8Array)],
  }
}

/** Opens them there. */
export async function openStores({ postgres, clickhouse, masterKey }: GivenStores, applicationName: string) {
  const log = silentLogger
  const db = openServerDetails({ url: postgres, poolSize: 6, applicationName })
  const audit = openAudit({ ...clickhouse, log })
  const keyring = new Keyring({ ...systemKeys, db, masterKey: new Uint8Array(masterKey), log })
  await keyring.load(db)
  return { db, audit, keyring, log }
}
