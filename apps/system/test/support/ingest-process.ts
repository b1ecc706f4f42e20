// Ingests events from the beginning, again and again where it was killed: an instance of the service in a process of its
// own. Standard input: { stores, sources: AuditEvent[][] }; says each batch that was acknowledged.
import type { AuditEvent } from '@conntext/contracts'
import { openAudit } from '@conntext/db-audit'
import { openServerDetails } from '@conntext/db-server-details'
import { silentLogger, systemClock } from '@conntext/kernel'
import { Keyring } from '@conntext/keyring'
import { createAuditChain } from '../../src/audit/chain/service.ts'
import { systemKeys } from '../../src/keys.ts'

type Given = {
  postgres: string
  clickhouse: { url: string; username: string; password: string; database: string }
  masterKey: number[]
  batch: number
  sources: AuditEvent[][]
}

const { postgres, clickhouse, masterKey, batch, sources } = (await Bun.stdin.json()) as Given
const log = silentLogger
const db = openServerDetails({ url: postgres, poolSize: 6, applicationName: 'ingest process' })
const audit = openAudit({ ...clickhouse, log })
const keyring = new Keyring({ ...systemKeys, db, masterKey: new Uint8Array(masterKey), log })
await keyring.load(db)
const chain = createAuditChain({ db, audit, keyring, clock: systemClock, log, nudge: () => {} })
const ship = async (source: AuditEvent[]) => {
  for (let at = 0; at < source.length; at += batch) {
    await chain.ingest({ events: source.slice(at, at + batch) })
    console.log('acknowledged')
  }
}
await Promise.all(sources.map(ship))
process.exit(0)
