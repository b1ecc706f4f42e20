import type { Audit } from '@conntext/db-audit'

const STREAMED = {
  readonly: '2',
  max_threads: 1,
  date_time_output_format: 'iso',
  output_format_json_quote_64bit_integers: 1,
}

export const EVENTS = 'events'
export const LOGS = 'logs'

/** The months that there are events of: each is read by a query of its own. */
export async function monthsOf(audit: Audit): Promise<number[]> {
  const rows = await audit.rows<{ month: number }>({
    sql: 'SELECT DISTINCT toUInt32(toYYYYMM(occurred_at)) AS month FROM events ORDER BY month',
    params: {},
  })
  return rows.map(({ month }) => Number(month))
}

/** How many bytes the table takes, as they are stored. */
export async function sizeOf(audit: Audit, table: string): Promise<number> {
  const [row] = await audit.rows<{ bytes: string }>({
    sql: `SELECT toString(sum(data_uncompressed_bytes)) AS bytes FROM system.parts
      WHERE active AND database = currentDatabase() AND table = {table:String}`,
    params: { table },
  })
  return Number(row?.bytes ?? 0)
}

/** The rows of all batches up to one, as lines of JSON. */
export async function* readEvents(audit: Audit, lastBatch: number): AsyncGenerator<Uint8Array> {
  for (const month of await monthsOf(audit)) {
    const sql = 'SELECT * FROM events WHERE toYYYYMM(occurred_at) = {month:UInt32} AND batch <= {lastBatch:UInt64}'
    yield* await audit.stream({ sql, params: { month, lastBatch } }, { format: 'JSONEachRow', settings: STREAMED })
  }
}

export async function* readLogs(audit: Audit): AsyncGenerator<Uint8Array> {
  yield* await audit.stream({ sql: 'SELECT * FROM logs', params: {} }, { format: 'JSONEachRow', settings: STREAMED })
}

export async function appliedAudit(audit: Audit): Promise<number[]> {
  const rows = await audit.rows<{ version: number }>({ sql: 'SELECT DISTINCT version FROM migrations', params: {} })
  return rows.map(({ version }) => Number(version)).sort((a, b) => a - b)
}
