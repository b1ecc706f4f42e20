import type { Audit } from '../client.ts'
import { type Canonical, readCanonical } from './canonical.ts'
import { refuse, SqlFailure } from './failure.ts'
import { checkTree, parseTree, resolvedTables } from './tree.ts'

/** All that SQL from outside can read. */
export const SQL_VIEWS: readonly string[] = ['audit_events']

const MEBIBYTE = 2 ** 20
const MAX_ANSWER_BYTES = 16 * MEBIBYTE

/** How long a statement may run, without what it takes to look at it. */
export const SQL_SECONDS = 10

const LIMITS = {
  readonly: '1',
  max_execution_time: SQL_SECONDS,
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

/** A statement that has passed every check. */
export type CheckedSql = Canonical & { readonly checked: true }

/**
 * Looks at a statement with the engine's own parser: it is written anew, its tree is held against what is allowed, and
 * what it reads, once names are resolved, as well. Only what the engine wrote is run.
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
  const [{ database }] = (await audit.rows<{ database: string }>({
    sql: 'SELECT currentDatabase() AS database',
    params: {},
  })) as [{ database: string }]
  // Where nothing is read the engine reads its table of one row.
  const known = new Set(['system.one', ...SQL_VIEWS.map((view) => `${database}.${view}`)])
  const other = resolvedTables(await explain(audit, `QUERY TREE ${canonical.text}`)).find((name) => !known.has(name))
  if (other !== undefined) refuse('It reads more than the audit trail.')
  return { ...canonical, checked: true }
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

async function explain(audit: Audit, what: string): Promise<string[]> {
  const body = await audit.stream({ sql: `EXPLAIN ${what}`, params: {} }, { settings: LIMITS, format: 'JSONEachRow' })
  const text = await collect(body, MAX_ANSWER_BYTES)
  return text.split('\n').flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { explain: string }).explain]))
}

/** Runs a statement; `limit` rows at most. @throws SqlFailure, and the engine's own errors */
export async function runSql(
  audit: Audit,
  { text }: CheckedSql,
  { limit, signal }: { limit: number; signal: AbortSignal },
): Promise<SqlAnswer> {
  const settings = {
    ...LIMITS,
    // One more row tells that there are more. A union has the limit in each of its parts, the answer after a block.
    limit: String(limit + 1),
    max_result_rows: String(limit + 1),
    result_overflow_mode: 'break',
    max_block_size: '8192',
    output_format_json_quote_64bit_integers: 0,
    output_format_json_quote_denormals: 1,
    date_time_output_format: 'iso',
  }
  const body = await audit.stream({ sql: text, params: {} }, { settings, format: 'JSONCompact', signal })
  return readAnswer(await collect(body, MAX_ANSWER_BYTES), limit)
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
