import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { exceptions } from './exceptions.ts'
import { codeOnly, isInsert } from './sql-text.ts'

/** A request in ClickHouse's HTTP protocol, read completely. */
export interface QueryRequest {
  queryId: string
  sql: string
  /** `sql` without what is quoted, at the same offsets. */
  code: string
  /** The rows that follow an INSERT; absent when the statement has them in its text, or has none. */
  data: Buffer | undefined
  /** Settings and `param_…` values, as text. */
  settings: Map<string, string>
  database: string | undefined
  defaultFormat: string | undefined
  session: { id: string; timeoutMs: number; mustExist: boolean } | undefined
  /** The whole result is to be there before the answer begins. */
  waitForEnd: boolean
  /** How the response is compressed. */
  encoding: Encoding | undefined
}

export type Encoding = 'gzip' | 'zstd' | 'br'

/** Parameters of the protocol; all others are settings of the engine. */
const protocolParameters = new Set(
  (
    'query query_id session_id session_timeout session_check database default_format user password role quota_key ' +
    'compress decompress buffer_size wait_end_of_query enable_http_compression http_zlib_compression_level ' +
    'send_progress_in_http_headers http_headers_progress_interval_ms http_response_buffer_size stacktrace ' +
    'cancel_http_readonly_queries_on_client_close http_write_exception_in_output_format add_http_cors_header'
  ).split(' '),
)

const maxSessionTimeoutMs = 3_600_000

/** Throws a `ClickHouseException` for what the protocol doesn't allow. `maxBytes` bounds the decompressed body. */
export async function readRequest(request: Request, maxBytes: number): Promise<QueryRequest> {
  const url = new URL(request.url)
  const parameters = url.searchParams
  const body = await readBody(request, parameters, maxBytes)
  const { sql, code, data } = statementAndData(parameters.get('query') ?? '', body)
  if (parameters.get('compress') === '1' || parameters.get('decompress') === '1') {
    throw exceptions.notImplemented('The native compression is not supported; use Accept-Encoding, Content-Encoding')
  }
  const settings = readSettings(parameters)
  // As ClickHouse has it: a GET changes nothing.
  if (request.method !== 'POST' && !settings.has('readonly')) settings.set('readonly', '2')
  return {
    queryId: parameters.get('query_id') || crypto.randomUUID(),
    sql,
    code,
    data,
    settings,
    database: parameters.get('database') || request.headers.get('x-clickhouse-database') || undefined,
    defaultFormat: parameters.get('default_format') ?? request.headers.get('x-clickhouse-format') ?? undefined,
    session: readSession(parameters),
    waitForEnd: parameters.get('wait_end_of_query') === '1',
    encoding: readEncoding(request, parameters),
  }
}

async function readBody(request: Request, parameters: URLSearchParams, maxBytes: number): Promise<Buffer> {
  const raw = await decompress(
    Buffer.from(await request.arrayBuffer()),
    request.headers.get('content-encoding'),
    maxBytes,
  )
  const type = request.headers.get('content-type')
  if (!type?.startsWith('multipart/form-data')) return raw
  // Parameters too long for the URL.
  const form = await new Response(new Uint8Array(raw), { headers: { 'content-type': type } }).formData()
  for (const [name, value] of form.entries()) {
    parameters.append(name, typeof value === 'string' ? value : await (value as Blob).text())
  }
  return Buffer.alloc(0)
}

const decompressors = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
}

async function decompress(body: Buffer, encoding: string | null, maxBytes: number): Promise<Buffer> {
  if (!encoding || encoding === 'identity' || body.length === 0) return body
  if (!(encoding in decompressors)) throw exceptions.badArguments('Unknown content encoding')
  try {
    return await decompressors[encoding as keyof typeof decompressors](body, { maxOutputLength: maxBytes })
  } catch (error) {
    throw exceptions.badArguments(`Cannot decompress the request's body: ${(error as Error).message}`)
  }
}

function statementAndData(query: string, body: Buffer): Pick<QueryRequest, 'sql' | 'code' | 'data'> {
  const text = query ? '' : body.toString()
  const sql = query || text
  const code = codeOnly(sql)
  if (!code.trim()) throw exceptions.emptyQuery()
  if (!query || body.length === 0) return { sql, code, data: undefined }
  if (isInsert(code)) return { sql, code, data: body }
  const whole = `${query}\n${body.toString()}`
  return { sql: whole, code: codeOnly(whole), data: undefined }
}

function readSettings(parameters: URLSearchParams): Map<string, string> {
  const settings = new Map<string, string>()
  for (const [name, value] of parameters) {
    if (protocolParameters.has(name)) continue
    if (!/^\w+$/.test(name)) throw exceptions.unknownSetting(name)
    settings.set(name, value)
  }
  return settings
}

function readSession(parameters: URLSearchParams): QueryRequest['session'] {
  const id = parameters.get('session_id')
  if (!id) return undefined
  const seconds = Number(parameters.get('session_timeout') ?? 60)
  if (!(seconds >= 0)) throw exceptions.badArguments('Invalid session timeout')
  return {
    id,
    timeoutMs: Math.min(seconds * 1000, maxSessionTimeoutMs),
    mustExist: parameters.get('session_check') === '1',
  }
}

function readEncoding(request: Request, parameters: URLSearchParams): Encoding | undefined {
  if (parameters.get('enable_http_compression') !== '1') return undefined
  const accepted = request.headers.get('accept-encoding') ?? ''
  return (['gzip', 'zstd', 'br'] as const).find((encoding) => accepted.includes(encoding))
}
