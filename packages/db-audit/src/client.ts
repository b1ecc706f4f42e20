import { Readable } from 'node:stream'
import { ClickHouseError, ClickHouseLogLevel, type Logger as ClientLogger, createClient } from '@clickhouse/client'
import { type Logger, StartError } from '@conntext/kernel'
import { countInserted, measured } from './meters.ts'
import { type StreamOptions, streamQuery } from './stream.ts'

export type AuditConnection = {
  url: string
  username: string
  password: string
  database: string
  log: Logger
}

/** A statement with its values bound as parameters (`{name:Type}`); text from outside never becomes part of `sql`. */
export type Query = { sql: string; params: Record<string, unknown> }

/** The Audit database. Nothing is connected until the first query. */
export type Audit = {
  /** Rows of a read-only query, times as RFC 3339 text. */
  rows<T>(query: Query): Promise<T[]>
  /**
   * Stores the rows in one insert and resolves when the engine has them. Repeating an insert with the same `token`
   * within a partition stores nothing again.
   */
  insert(table: string, rows: object[], token: string): Promise<void>
  /** The same of rows that are text already, one JSON object a line. */
  insertText(table: string, lines: string, token: string): Promise<void>
  /** Changes or removes rows, and resolves when it is done on every replica, however long that takes. */
  mutate(query: Query): Promise<void>
  /** A read-only query's answer as it comes, in one of the engine's formats; `settings` are to bound it. */
  stream(query: Query, options: StreamOptions): Promise<AsyncIterable<Uint8Array>>
  /** An aggregate over the latest events; throws when the engine or the table isn't there. */
  check(): Promise<void>
  close(): Promise<void>
}

const REQUEST_TIMEOUT_MS = 15_000
const MUTATION_TIMEOUT_MS = 10 * 60_000
// Of silence: whoever takes an answer may be slow, and the engine may have to look for long.
const STREAM_TIMEOUT_MS = 5 * 60_000
const READ_LIMITS = { readonly: '2', max_execution_time: 10, date_time_output_format: 'iso' } as const

const insertSettings = (token: string) =>
  ({
    async_insert: 0,
    date_time_input_format: 'best_effort',
    insert_deduplication_token: token,
    // A batch that is in the chain has to be stored, of however many months its events are.
    max_partitions_per_insert_block: '0',
  }) as const

export function openAudit(connection: AuditConnection): Audit {
  const client = connect(connection)
  const streams = connect({ ...connection, timeoutMs: STREAM_TIMEOUT_MS })
  const rows = <T>({ sql, params }: Query): Promise<T[]> =>
    measured('query', sql, async () => {
      const result = await client.query({
        query: sql,
        query_params: params,
        // Names once, not in each row: a third less time for what is read in thousands.
        format: 'JSONCompactEachRowWithNames',
        clickhouse_settings: READ_LIMITS,
      })
      return toObjects<T>(await result.json<unknown[]>())
    })
  return {
    rows,
    async insert(table, values, token) {
      const asked = { table, values, format: 'JSONEachRow' as const, clickhouse_settings: insertSettings(token) }
      await measured('insert', `insert into ${table}`, () => client.insert(asked))
      countInserted(table, values.length)
    },
    async insertText(table, lines, token) {
      const query = `INSERT INTO ${table} FORMAT JSONEachRow`
      const { stream } = await measured('insert', query, () =>
        client.exec({
          query,
          values: Readable.from([Buffer.from(lines)], { objectMode: false }),
          clickhouse_settings: insertSettings(token),
        }),
      )
      // An answer that isn't read keeps its connection.
      stream.resume()
      countInserted(table, linesIn(lines))
    },
    async mutate({ sql, params }) {
      const patient = connect({ ...connection, timeoutMs: MUTATION_TIMEOUT_MS })
      try {
        await patient.command({ query: sql, query_params: params, clickhouse_settings: { mutations_sync: '2' } })
      } finally {
        await patient.close()
      }
    },
    stream: (query, options) => streamQuery(streams, query, options),
    async check() {
      await rows({
        sql: 'SELECT count() AS events FROM events WHERE occurred_at >= now() - INTERVAL 1 DAY',
        params: {},
      })
    },
    close: async () => void (await Promise.all([client.close(), streams.close()])),
  }
}

/** The first row holds the names of the others' values. */
function toObjects<T>(table: unknown[][]): T[] {
  const names = (table[0] ?? []) as string[]
  const rows: T[] = []
  for (let i = 1; i < table.length; i += 1) {
    const values = table[i]!
    const row: Record<string, unknown> = {}
    for (let at = 0; at < names.length; at += 1) row[names[at]!] = values[at]
    rows.push(row as T)
  }
  return rows
}

function linesIn(text: string): number {
  let count = text.endsWith('\n') ? 0 : 1
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1
  return count
}

/** The client itself, for `database`, or for none when it may not exist yet. */
export function connect({
  url,
  username,
  password,
  database,
  log,
  timeoutMs = REQUEST_TIMEOUT_MS,
}: Omit<AuditConnection, 'database'> & { database?: string; timeoutMs?: number }) {
  return createClient({
    url,
    username,
    password,
    ...(database === undefined ? {} : { database }),
    application: 'conntext',
    request_timeout: timeoutMs,
    // A batch's worth of ids does not fit into a URL.
    use_multipart_params_auto: true,
    log: { level: ClickHouseLogLevel.WARN, LoggerClass: loggerFor(log) },
  })
}

/** The client logs what it also throws, with whole queries: its words go to debug, without those. */
function loggerFor(log: Logger): new () => ClientLogger {
  return class {
    trace() {}
    debug() {}
    info() {}
    warn = ({ module, message }: { module: string; message: string }) => log.debug({ module }, message)
    error = ({ module, message }: { module: string; message: string }) => log.debug({ module }, message)
  }
}

// Of ClickHouse's ErrorCodes.cpp: overloaded, out of memory or time, shutting down, read-only, not yet migrated.
const AWAY = new Set('60 81 159 202 203 209 210 236 241 242 243 252 279 319 394 439 516 994 999'.split(' '))

/** Whether the engine is away, overloaded or not set up yet, rather than the query wrong. */
export const isAuditAway = (error: unknown): boolean =>
  error instanceof ClickHouseError
    ? AWAY.has(error.code)
    : error instanceof Error && !(error instanceof TypeError) && !(error instanceof StartError)
