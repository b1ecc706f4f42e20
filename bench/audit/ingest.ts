import type { AuditEvent } from '@conntext/contracts'
import { CHAINED_COLUMNS } from '@conntext/db-audit'
import { median, type Result, rate } from '../lib/result.ts'
import { type ChainStores, someEvents } from './chain-stores.ts'

/** As many as a relay ships at once. */
const BATCH = 500
/** Four services ship at the same time. */
const SOURCES = 4
const ROUNDS = 3

/** Events taken into the chain, against the same rows inserted with the bare client. */
export async function measureIngest(stores: ChainStores, quick: boolean, report: (result: Result) => void) {
  const count = quick ? 20_000 : 100_000
  const rates: Record<'chained' | 'bare' | 'small', number[]> = { chained: [], bare: [], small: [] }
  for (let round = -1; round < ROUNDS; round += 1) {
    const events = someEvents(count)
    const chained = await perSecond(events, BATCH, (batch) => stores.ingest({ events: batch }))
    const rows = await rowsOf(stores, events)
    const bare = await perSecond(rows, BATCH, async (values) => {
      await stores.bare.insert({ table: 'events', values, format: 'JSONEachRow', clickhouse_settings: INSERT })
    })
    const small = await perSecond(someEvents(count / 20), 5, (batch) => stores.ingest({ events: batch }))
    // The first round warms both up.
    if (round < 0) continue
    rates.chained.push(chained)
    rates.bare.push(bare)
    rates.small.push(small)
  }
  report(
    rate('ingest', 'events/s', median(rates.chained), median(rates.bare), {
      baselineOf: 'the same rows inserted with the bare client, in batches of the same size from as many at once',
      batch: BATCH,
      mergedUpTo: 1_000,
      sources: SOURCES,
      inBatchesOf5: Math.round(median(rates.small)),
    }),
  )
}

const INSERT = { async_insert: 0, date_time_input_format: 'best_effort' } as const

async function perSecond<T>(all: T[], size: number, ship: (batch: T[]) => Promise<void>): Promise<number> {
  const began = performance.now()
  const share = Math.ceil(all.length / SOURCES)
  const source = async (own: T[]) => {
    for (let at = 0; at < own.length; at += size) await ship(own.slice(at, at + size))
  }
  await Promise.all(Array.from({ length: SOURCES }, (_, i) => source(all.slice(i * share, (i + 1) * share))))
  return (all.length / (performance.now() - began)) * 1000
}

/** The rows that came of the events, place and salts too. */
async function rowsOf({ audit }: ChainStores, events: AuditEvent[]): Promise<object[]> {
  const rows: object[] = []
  for (let at = 0; at < events.length; at += 2_000) {
    const ids = events.slice(at, at + 2_000).map(({ id }) => id)
    const sql = `SELECT ${CHAINED_COLUMNS.join()} FROM events WHERE id IN ({ids:Array(UUID)})`
    rows.push(...(await audit.rows<object>({ sql, params: { ids } })))
  }
  if (rows.length !== events.length) throw new Error(`${rows.length} of ${events.length} events are there`)
  return rows
}
