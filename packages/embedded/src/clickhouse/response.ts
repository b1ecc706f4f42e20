import { PassThrough, pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { brotliCompress, createBrotliCompress, createGzip, createZstdCompress, gzip, zstdCompress } from 'node:zlib'
import type { Outcome } from './dispatch.ts'
import { describe, inStreamException } from './exceptions.ts'
import type { Encoding, QueryRequest } from './request.ts'

type Headers = Record<string, string>

export function baseHeaders(queryId: string): Headers {
  return {
    'x-clickhouse-query-id': queryId,
    'x-clickhouse-server-display-name': 'embedded',
    'x-clickhouse-timezone': 'UTC',
  }
}

export function errorResponse(error: unknown, headers: Headers): Response {
  const { code, status, text } = describe(error)
  return new Response(text, {
    status,
    headers: { ...headers, 'content-type': 'text/plain; charset=UTF-8', 'x-clickhouse-exception-code': String(code) },
  })
}

export interface Answer {
  response: Response
  /** Resolves when the last of the response was produced, or the client left. */
  ended: Promise<void>
}

export async function outcomeResponse(outcome: Outcome, request: QueryRequest, startedAt: number): Promise<Answer> {
  const headers = baseHeaders(request.queryId)
  const { encoding } = request
  if (outcome.kind === 'inserted') {
    const summary = summarise({ written: outcome.rows, writtenBytes: outcome.bytes, startedAt })
    return whole(new Response('', { headers: { ...headers, 'x-clickhouse-summary': summary } }))
  }
  headers['x-clickhouse-format'] = outcome.format
  headers['content-type'] = contentType(outcome.format)
  if (encoding) headers['content-encoding'] = encoding
  if (outcome.kind === 'result') {
    headers['x-clickhouse-summary'] = summarise({ read: outcome.rowsRead, readBytes: outcome.bytesRead, startedAt })
    const body = encoding ? await compressors[encoding].whole(outcome.bytes) : outcome.bytes
    return whole(new Response(new Uint8Array(body), { headers }))
  }
  const tag = crypto.randomUUID().replaceAll('-', '').slice(0, 16)
  headers['x-clickhouse-exception-tag'] = tag
  return streamed(outcome.rows, tag, encoding, headers)
}

function whole(response: Response): Answer {
  return { response, ended: Promise.resolve() }
}

function streamed(
  rows: AsyncIterable<Uint8Array> & { close(): Promise<void> },
  tag: string,
  encoding: Encoding | undefined,
  headers: Headers,
): Answer {
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const source = Readable.from(withException(rows, tag), { objectMode: false, highWaterMark: 1 })
  const through = encoding ? compressors[encoding].stream() : new PassThrough({ highWaterMark: 64 * 1024 })
  // Destroys the source when the client is gone, and the generator is told to return.
  pipeline(source, through, () => void rows.close().finally(resolve))
  return { response: new Response(Readable.toWeb(through) as unknown as ReadableStream, { headers }), ended }
}

async function* withException(rows: AsyncIterable<Uint8Array>, tag: string): AsyncGenerator<Uint8Array> {
  try {
    yield* rows
  } catch (error) {
    yield inStreamException(error, tag)
  }
}

const compressors = {
  gzip: { whole: promisify(gzip), stream: () => createGzip({ level: 3 }) },
  zstd: { whole: promisify(zstdCompress), stream: () => createZstdCompress() },
  br: { whole: promisify(brotliCompress), stream: () => createBrotliCompress() },
}

function contentType(format: string): string {
  if (/^JSON(Strings|Compact|CompactStrings)?$/.test(format)) return 'application/json; charset=UTF-8'
  if (/EachRow|JSONLines|NDJSON/.test(format)) return 'application/x-ndjson; charset=UTF-8'
  return format.startsWith('CSV') ? 'text/csv; charset=UTF-8' : 'text/plain; charset=UTF-8'
}

interface Figures {
  read?: number
  readBytes?: number
  written?: number
  writtenBytes?: number
  /** `performance.now()` */
  startedAt: number
}

function summarise({ read = 0, readBytes = 0, written = 0, writtenBytes = 0, startedAt }: Figures): string {
  return JSON.stringify({
    read_rows: String(read + written),
    read_bytes: String(readBytes + writtenBytes),
    written_rows: String(written),
    written_bytes: String(writtenBytes),
    total_rows_to_read: '0',
    result_rows: String(read + written),
    result_bytes: '0',
    elapsed_ns: String(Math.round((performance.now() - startedAt) * 1e6)),
  })
}
