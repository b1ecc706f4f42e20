import { startChainStores } from './audit/chain-stores.ts'
import { startFullTrail } from './audit/corpus.ts'
import { measureExports } from './audit/export.ts'
import { measureIngest } from './audit/ingest.ts'
import { measureOverhead } from './audit/overhead.ts'
import { measureQueries } from './audit/query.ts'
import { measureVerify } from './audit/verify.ts'
import type { Bench, Result } from './lib/result.ts'

/** The audit trail: what is asked of 50,000,000 events, and how fast it can be taken along. */
export const audit: Bench = async ({ quick }, report) => {
  await measureChain(quick, report)
  await measureOverhead(quick, report)
  const all = quick ? 2_000_000 : 50_000_000
  await using trail = await startFullTrail(all)
  await measureQueries(trail, all, report)
  await measureExports(trail, { rows: quick ? 200_000 : 2_000_000, all }, report)
}

async function measureChain(quick: boolean, report: (result: Result) => void): Promise<void> {
  await using stores = await startChainStores()
  await measureIngest(stores, quick, report)
  await measureVerify(stores, quick, report)
}
