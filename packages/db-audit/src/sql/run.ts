import { newId } from '@conntext/kernel'
import type { Audit } from '../client.ts'
import { type Canonical, readCanonical } from './canonical.ts'
import { refuse, SqlFailure } from './failure.ts'
import { checkTree, parseTree, resolvedTables } from './tree.ts'

/** All that SQL from outside can read. */
export const SQL_VIEWS: readonly string[] = ['audit_events']

const MEBIBYTE = 2 ** 20
const MAX_ANSWER_BYTES = 16 * MEBIBYTE

/** How long a statement may run unless told otherwise, without what it takes to look at it. */
const SQL_SECONDS = 10
const GRACE_SECONDS = 2

const LIMITS = {
  readonly: '1',
  timeout_overflow_mode: 'throw',
  max_memory_usage: String(256 * MEBIBYTE),
  max_bytes_before_external_group_by: '0',
  max_bytes_before_external_sort: '0',
  max_bytes_ratio_before_external_group_by: 0,
  max_bytes_ratio_before_external_sort: 0,
  max_threads: 2,
  max_rows_to_read: '1000000000',
  read_overflow_mode: 'throw',
  max_query_size: '65536',
  max_ast_depth: '200',
  max_ast_elements: '5000',
  max_expanded_ast_elements: '20000',
  max_subquery_depth: '20',
  max_columns_to_read: '100',
  max_rows_in_set: '1000000',
  max_bytes_in_set: String(64 * MEBIBYTE),
  set_overflow_mode: 'throw',
  max_rows_in_join: '5000000',
  max_bytes_in_join: String(128 * MEBIBYTE),
  join_overflow_mode: 'throw',
  allow_ddl: 0,
  allow_introspection_functions: 0,
  allow_experimental_analyzer: 1,
  compile_expressions: 0,
  cancel_http_readonly_queries_on_client_close: 1,
} as const

export type SqlColumn = { name: string; type: string }
export type SqlAnswer = {
  columns: SqlColumn[]
  rows: unknown[][]
  /** There were more rows. */
  truncated: boolean
  statistics: { elapsedMs: number; rowsRead: number; bytesRead: number }
}

/** A statement that may be run, and a mark by which the engine's processes tell of it. */
export type CheckedSql = Canonical & { readonly mark: string }

/**
 * Looks at a statement with the engine's own parser: it is written anew, and its tree is held against what is allowed.
 * Only what the engine wrote is run. Nothing of the trail is read.
 * @throws SqlFailure, and the engine's own errors
 */
export async function checkSql(audit: Audit, sql: string): Promise<CheckedSql> {
  if (sql.includes('\0')) throw new SqlFailure('invalid', 'It has a character that no statement has.')
  const [formatted] = await audit.rows<{ text: string }>({
    sql: 'SELECT formatQuerySingleLine({sql:String}) AS text',
    params: { sql },
  })
  const canonical = readCanonical(formatted!.text)
  checkTree(parseTree(await explain(audit, `AST ${canonical.text}`)), await readable(audit, canonical))
  return { ...canonical, mark: `audit-sql-${newId()}` }
}

/** Views, and what the statement itself declares; that must not have the name of anything that there is. */
async function readable(audit: Audit, { declared }: Canonical): Promise<Set<string>> {
  if (declared.size === 0) return new Set(SQL_VIEWS)
  const taken = await audit.rows<{ name: string }>({
    sql: 'SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN ({names:Array(String)})',
    params: { names: [...declared] },
  })
  if (taken.length > 0) refuse(`${taken[0]!.name} is no name for a WITH.`)
  return new Set([...SQL_VIEWS, ...declared])
}

type Ending = { seconds: number; signal: AbortSignal }

async function explain(audit: Audit, what: string, ending?: Ending): Promise<string[]> {
  const settings = { ...LIMITS, max_execution_time: ending?.seconds ?? SQL_SECONDS }
  const options = { settings, format: 'JSONEachRow', ...(ending && { signal: ending.signal }) }
  const text = await collect(await audit.stream({ sql: `EXPLAIN ${what}`, params: {} }, options), MAX_ANSWER_BYTES)
  return text.split('\n').flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { explain: string }).explain]))
}

/**
 * Runs a statement; `limit` rows at most, for so many `seconds`. What it reads, once names are resolved, is looked at
 * before. Whoever is told that it failed may ask `isSqlRunning` whether the engine knows already.
 * @throws SqlFailure, and the engine's own errors
 */
export async function runSql(
  audit: Audit,
  checked: CheckedSql,
  { limit, seconds = SQL_SECONDS, signal }: { limit: number; seconds?: number | undefined; signal: AbortSignal },
): Promise<SqlAnswer> {
  const settings = {
    ...LIMITS,
    max_execution_time: seconds,
    // One more row tells that there are more. A union has the limit in each of its parts, the answer after a block.
    limit: String(limit + 1),
    max_result_rows: String(limit + 1),
    result_overflow_mode: 'break',
    max_block_size: '8192',
    output_format_json_quote_64bit_integers: 0,
    output_format_json_quote_denormals: 1,
    date_time_output_format: 'iso',
  }
  await inTime({ seconds, signal }, (ending) => assertResolved(audit, checked, ending))
  const sql = `/* ${checked.mark} */ ${checked.text}`
  const text = await inTime({ seconds, signal }, async (ending) =>
    collect(
      await audit.stream({ sql, params: {} }, { settings, format: 'JSONCompact', signal: ending.signal }),
      MAX_ANSWER_BYTES,
    ),
  )
  return readAnswer(text, limit)
}

/** Names are resolved by running what stands in place of a value: this reads of the trail, within all bounds. */
async function assertResolved(audit: Audit, { text, mark }: CheckedSql, ending: Ending): Promise<void> {
  const [{ database }] = (await audit.rows<{ database: string }>({
    sql: 'SELECT currentDatabase() AS database',
    params: {},
  })) as [{ database: string }]
  // Where nothing is read the engine reads its table of one row.
  const known = new Set(['system.one', ...SQL_VIEWS.map((view) => `${database}.${view}`)])
  const tables = resolvedTables(await explain(audit, `/* ${mark} */ QUERY TREE ${text}`, ending))
  if (tables.some((name) => !known.has(name))) refuse('It reads more than the audit trail.')
}

/** The engine looks at its clock between two blocks of rows: one that takes long is not waited for. */
async function inTime<T>({ seconds, signal }: Ending, ask: (ending: Ending) => Promise<T>): Promise<T> {
  const overdue = AbortSignal.timeout((seconds + GRACE_SECONDS) * 1000)
  try {
    return await ask({ seconds, signal: AbortSignal.any([signal, overdue]) })
  } catch (error) {
    if (overdue.aborted && !signal.aborted) throw new SqlFailure('expensive', 'It takes too long.', { cause: error })
    throw error
  }
}

/** Whether the engine is still at a statement: within a block of rows it hears nobody. */
export async function isSqlRunning(audit: Audit, { mark }: CheckedSql): Promise<boolean> {
  const [row] = await audit.rows<{ n: number }>({
    sql: 'SELECT toUInt32(count()) AS n FROM system.processes WHERE query_id != queryID() AND position(query, {mark:String}) > 0',
    params: { mark },
  })
  return row!.n > 0
}

type Compact = {
  meta: SqlColumn[]
  data: unknown[][]
  statistics?: { elapsed: number; rows_read: number; bytes_read: number }
}

function readAnswer(text: string, limit: number): SqlAnswer {
  const { meta, data, statistics } = JSON.parse(text, exactly) as Compact
  return {
    columns: meta.map(({ name, type }) => ({ name, type })),
    rows: data.slice(0, limit),
    truncated: data.length > limit,
    statistics: {
      elapsedMs: Math.round((statistics?.elapsed ?? 0) * 1e6) / 1e3,
      rowsRead: statistics?.rows_read ?? 0,
      bytesRead: statistics?.bytes_read ?? 0,
    },
  }
}

/** Whole numbers that JavaScript would round stay as they were written. */
function exactly(_key: string, value: unknown, context?: { source?: string }): unknown {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? String(value)) : value
}

async function collect(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop ends the statement.
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new SqlFailure('expensive', 'Its result is too large.')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}
