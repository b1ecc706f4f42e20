import { selectBatches } from '@conntext/db-audit'
import { verifyLog } from '@conntext/system/admin'
import { type Result, rate } from '../lib/result.ts'
import { type ChainStores, someEvents } from './chain-stores.ts'

const BATCH = 2_000

/** The whole log recomputed and compared, against its rows read without a look at them. */
export async function measureVerify(stores: ChainStores, quick: boolean, report: (result: Result) => void) {
  const least = quick ? 100_000 : 1_000_000
  const [{ there } = { there: 0 }] = await stores.audit.rows<{ there: number }>({
    sql: 'SELECT toUInt32(count()) AS there FROM events',
    params: {},
  })
  for (let count = there; count < least; count += BATCH) await stores.ingest({ events: someEvents(BATCH) })
  console.error('  the events are there')
  const before = process.memoryUsage().rss
  let highest = before
  const began = performance.now()
  const { batches, events, findingCount } = await verifyLog(stores, {}, () => {
    highest = Math.max(highest, process.memoryUsage().rss)
  })
  const elapsed = performance.now() - began
  if (findingCount > 0) throw new Error(`${findingCount} findings in a log that nobody touched`)
  const bare = await readAll(stores, batches, events)
  report(
    rate('verify', 'events/s', (events / elapsed) * 1000, (events / bare) * 1000, {
      baselineOf: 'the same rows read, and not verified',
      events,
      batches,
      seconds: Number((elapsed / 1000).toPrecision(3)),
      memoryMb: Math.round((highest - before) / 1e6),
    }),
  )
}

async function readAll({ audit }: ChainStores, batches: number, events: number): Promise<number> {
  const step = Math.max(1, Math.floor((10_000 / events) * batches))
  const began = performance.now()
  for (let first = 1; first <= batches; first += step) await selectBatches(audit, first, first + step - 1)
  return performance.now() - began
}
