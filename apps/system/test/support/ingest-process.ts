// Ingests events from the beginning, again and again where it was killed: an instance of the service in a process of its
// own. Standard input: { stores, batch, sources: AuditEvent[][] }; says each batch that was acknowledged.
import type { AuditEvent } from '@conntext/contracts'
import { systemClock } from '@conntext/kernel'
import { createAuditChain } from '../../src/audit/chain/service.ts'
import { type GivenStores, openStores } from './process-stores.ts'

type Given = { stores: GivenStores; batch: number; sources: AuditEvent[][] }

const { stores, batch, sources } = (await Bun.stdin.json()) as Given
const opened = await openStores(stores, 'ingest process')
const chain = createAuditChain({ ...opened, clock: systemClock, nudge: () => {} })
const ship = async (source: AuditEvent[]) => {
  for (let at = 0; at < source.length; at += batch) {
    await chain.ingest({ events: source.slice(at, at + batch) })
    console.log('acknowledged')
  }
}
await Promise.all(sources.map(ship))
process.exit(0)
