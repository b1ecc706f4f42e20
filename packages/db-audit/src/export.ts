import type { Audit, Query } from './client.ts'
import type { EventPosition } from './events.ts'
import { type EventFilter, matching, type TimeWindow } from './filter.ts'

export type ExportFormat = 'ndjson' | 'csv' | 'parquet'
export type ExportQuery = { window: TimeWindow; filter: EventFilter; after?: EventPosition | undefined }

// As `toEvent` puts it together: what tells of a person stands apart, and shares no field with the rest.
const DATA = `multiIf(personal IN ('', '{}'), data, data = '{}', personal,
  concat(substring(data, 1, length(data) - 1), ',', substring(personal, 2)))`
const OCCURRED_AT = "concat(replaceOne(toString(occurred_at), ' ', 'T'), 'Z')"

const COLUMNS: [name: string, expression: string][] = [
  ['id', 'toString(id)'],
  ['occurredAt', OCCURRED_AT],
  ['service', 'toString(service)'],
  ['action', 'toString(action)'],
  ['severity', 'toString(severity)'],
  ['outcome', 'toString(outcome)'],
  ['actorKind', 'toString(actor_kind)'],
  ['actorId', 'toString(actor_id)'],
  ['sessionId', 'toString(session_id)'],
  ['address', 'address'],
  ['userAgent', 'user_agent'],
  ['targetKind', 'toString(target_kind)'],
  ['targetId', 'target_id'],
  ['data', DATA],
  ['reason', 'reason'],
  ['requestId', 'request_id'],
  ['traceId', 'trace_id'],
]

const json = (expression: string) => `ifNull(toJSONString(${expression}), 'null')`

/** An event as the API has it, written by the engine: field by field as `toEvent` makes it. */
function jsonLine(): string {
  const field = (name: string) => `"${name}":', ${json(COLUMNS.find(([known]) => known === name)![1])}, '`
  const text = [
    `'{${['id', 'occurredAt', 'service', 'action', 'severity', 'outcome'].map(field).join(',')}`,
    `,"actor":{"kind":', ${json('toString(actor_kind)')}, ',"id":', ${json('toString(actor_id)')}, '`,
    `,${['sessionId', 'address', 'userAgent'].map(field).join(',')}}`,
    `,"target":{"kind":', ${json('toString(target_kind)')}, ',"id":', ${json('target_id')}, '}`,
    `,"data":', ${DATA}, ',${['reason', 'requestId'].map(field).join(',')}'`,
    `, if(isNull(trace_id), '', concat(',"traceId":', ${json('trace_id')})), '}'`,
  ].join('')
  return `concat(${text})`
}

/** What a spreadsheet would take for a formula is made a text by an apostrophe (CWE-1236). */
const cell = (expression: string) =>
  `if(match(ifNull(${expression}, ''), '^[=+\\\\-@\\\\t\\\\r\\\\n＝＋－＠]'), concat('\\'', ${expression}), ${expression})`

const SELECTED: Record<ExportFormat, () => string> = {
  ndjson: jsonLine,
  csv: () => COLUMNS.map(([name, expression]) => `${cell(expression)} AS \`_${name}\``).join(', '),
  // Times stay times here.
  parquet: () =>
    COLUMNS.map(([name, expression]) => `${name === 'occurredAt' ? 'occurred_at' : expression} AS \`_${name}\``).join(
      ', ',
    ),
}
const ENGINE_FORMATS = { ndjson: 'TSVRaw', csv: 'CSV', parquet: 'Parquet' } as const
const CSV_HEAD = new TextEncoder().encode(`${COLUMNS.map(([name]) => name).join(',')}\n`)

const LIMITS = {
  readonly: '2',
  max_execution_time: 3600,
  max_threads: 2,
  max_memory_usage: String(512 * 2 ** 20),
  optimize_read_in_order: 1,
  output_format_parquet_row_group_size: '100000',
  output_format_parquet_row_group_size_bytes: String(64 * 2 ** 20),
  output_format_parquet_compression_method: 'zstd',
  output_format_json_escape_forward_slashes: 0,
  // A spreadsheet would show the usual one, `\N`.
  format_csv_null_representation: '',
  cancel_http_readonly_queries_on_client_close: 1,
} as const

function selection({ window, filter, after }: ExportQuery): Query {
  const { sql, params } = matching(window, filter)
  if (!after) return { sql, params }
  return {
    sql: `${sql} AND (occurred_at, id) > (fromUnixTimestamp64Milli({afterTime:Int64}), {afterId:UUID})`,
    params: { ...params, afterTime: after.occurredAt.getTime(), afterId: after.id },
  }
}

/** How many events an export would have. */
export async function countExport(audit: Audit, query: ExportQuery): Promise<number> {
  const { sql, params } = selection(query)
  const [row] = await audit.rows<{ n: string }>({
    sql: `SELECT toString(count()) AS n FROM events WHERE ${sql}`,
    params,
  })
  return Number(row?.n ?? 0)
}

/**
 * Events oldest first, as the engine writes them: in bounded memory, from one moment's state of the table. It ends early
 * by throwing, never by just ending.
 */
export async function exportEvents(
  audit: Audit,
  format: ExportFormat,
  query: ExportQuery,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { sql, params } = selection(query)
  // Under other names than the table's columns, which its conditions are about.
  const names = format === 'parquet' ? COLUMNS.map(([name]) => `\`_${name}\` AS \`${name}\``).join(', ') : undefined
  const inner = `SELECT ${SELECTED[format]()} FROM events WHERE ${sql} ORDER BY occurred_at, id`
  const body = await audit.stream(
    { sql: names === undefined ? inner : `SELECT ${names} FROM (${inner})`, params },
    { settings: LIMITS, format: ENGINE_FORMATS[format], signal },
  )
  return format === 'csv' ? headed(body) : body
}

async function* headed(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield CSV_HEAD
  yield* body
}
