import { open, rm } from 'node:fs/promises'
import type { Chunk, Connection, Engine, RowStream } from './engine.ts'
import { exceptions } from './exceptions.ts'
import type { QueryRequest } from './request.ts'
import type { Lease, Sessions } from './sessions.ts'
import { formatOf, insertPrefix, isInsert, isQuickToPlan, literal, trimEnd } from './sql-text.ts'

/** What a query came to. `rows` hold the connection until they end or are closed. */
export type Outcome =
  | { kind: 'inserted'; rows: number; bytes: number }
  | { kind: 'result'; format: string; bytes: Uint8Array; rowsRead: number; bytesRead: number }
  | { kind: 'rows'; format: string; rows: AsyncIterable<Uint8Array> & { close(): Promise<void> } }

/** Formats whose pieces, put one after the other, are a valid whole: no header, no brackets, no footer. */
const streamable = new Set(
  (
    'JSONEachRow JSONLines NDJSON JSONStringsEachRow JSONCompactEachRow JSONCompactStringsEachRow TabSeparated TSV ' +
    'TabSeparatedRaw TSVRaw CSV LineAsString RowBinary'
  ).split(' '),
)

/** A result that isn't streamed is held in memory: not more of it than this, unless the request says otherwise. */
const maxBufferedResultBytes = 256 * 1024 * 1024

export interface Dispatcher {
  engine: Engine
  sessions: Sessions
}

/** Runs one request. `signal` aborts when the client is gone: a read is then cancelled, a write goes on. */
export async function dispatch(
  { engine, sessions }: Dispatcher,
  request: QueryRequest,
  signal: AbortSignal,
): Promise<Outcome> {
  const statement = request.data
    ? insertPrefix(request.sql, request.code, request.defaultFormat ?? 'JSONEachRow')
    : statementText(request)
  if (isEmptyInsert(request)) return { kind: 'inserted', rows: 0, bytes: 0 }
  const { statementCount, kind } = await engine.classify(statement)
  if (statementCount > 1) throw exceptions.multiStatement()
  assertNoServerFiles(request.code, kind)
  const reads = kind === 'read'
  const format = formatOf(request.code) ?? request.defaultFormat ?? 'TabSeparated'
  const streams = reads && streamable.has(format) && !request.session && !request.waitForEnd
  const run = { tag: crypto.randomUUID(), statement, format, signal }
  if (reads && format === 'Parquet' && !request.session) return spool({ engine, sessions }, request, run)
  const streamed = streams && isQuickToPlan(request.code)
  const lease = await sessions.lease(request, settingsFor(request, run.tag, streamed))
  const stopCancelling = reads ? cancelOnAbort(engine, run.tag, signal) : () => {}
  const release = async () => {
    stopCancelling()
    await lease.release()
  }
  if (streamed) return stream(lease, run, release)
  try {
    return await (request.data
      ? insert(lease.connection, statement, request.data)
      : query(lease.connection, run, reads))
  } finally {
    await release()
  }
}

/** Data in an INSERT's own text goes with it as it stands. */
function statementText({ sql, code }: QueryRequest): string {
  return isInsert(code) ? sql : trimEnd(sql, code)
}

/** A client's stream that had no rows. */
function isEmptyInsert({ code, data }: QueryRequest): boolean {
  return isInsert(code) && !data && /\bFORMAT\s+\w+[\s;]*$/i.test(code) && !/\bSELECT\b/i.test(code)
}

/** `INTO OUTFILE` and `FROM INFILE` are a command-line client's; here they would be files of the server. */
function assertNoServerFiles(code: string, kind: string): void {
  const writesFile = kind === 'other' && /^[\s(]*(?:SELECT|WITH|FROM)\b/i.test(code)
  if (writesFile || /\bINTO\s+OUTFILE\b/i.test(code)) {
    throw exceptions.unsupportedMethod('INTO OUTFILE is not allowed')
  }
  if (isInsert(code) && /\bFROM\s+INFILE\b/i.test(code)) {
    throw exceptions.unsupportedMethod('FROM INFILE is not allowed')
  }
}

function settingsFor({ settings }: QueryRequest, tag: string, streamed: boolean): Record<string, string> {
  // By its comment a running query is found again, to be cancelled.
  const ours: Record<string, string> = { log_comment: tag }
  if (!streamed && !settings.has('max_result_bytes')) ours.max_result_bytes = String(maxBufferedResultBytes)
  return ours
}

/** Asks again until the query has ended: the first time it may not have begun. */
function cancelOnAbort(engine: Engine, tag: string, signal: AbortSignal): () => void {
  let timer: Timer | undefined
  const kill = () => {
    engine.kill(tag).catch(() => {})
    timer = setTimeout(kill, 100)
  }
  if (signal.aborted) kill()
  else signal.addEventListener('abort', kill, { once: true })
  return () => {
    signal.removeEventListener('abort', kill)
    clearTimeout(timer)
  }
}

interface Run {
  tag: string
  statement: string
  format: string
  signal: AbortSignal
}

async function insert(connection: Connection, prefix: string, data: Buffer): Promise<Outcome> {
  const { rowsWritten } = await connection.insert(prefix, data)
  return { kind: 'inserted', rows: rowsWritten, bytes: data.length }
}

async function query(connection: Connection, { statement, format, signal }: Run, reads: boolean): Promise<Outcome> {
  // A write that waits for its turn is still dropped when its client goes; one that runs is not.
  const { bytes, rowsRead, bytesRead } = await connection.query(statement, format, signal)
  return reads ? { kind: 'result', format, bytes, rowsRead, bytesRead } : { kind: 'inserted', rows: 0, bytes: 0 }
}

/**
 * A format that is one whole, not to be had in pieces, and too large to be held in memory: the engine writes a file, which
 * is streamed and is gone when it has been read.
 */
async function spool({ engine, sessions }: Dispatcher, request: QueryRequest, run: Run): Promise<Outcome> {
  const path = await engine.spoolPath()
  const select = run.statement.replace(/\bFORMAT\s+Parquet\s*$/i, '')
  // That it only reads has been seen; to the engine the file is a write.
  const settings = new Map([...request.settings].filter(([name]) => name !== 'readonly'))
  const lease = await sessions.lease({ ...request, settings }, { log_comment: run.tag })
  const stopCancelling = cancelOnAbort(engine, run.tag, run.signal)
  try {
    const statement = `INSERT INTO FUNCTION file(${literal(path)}, 'Parquet') ${select}`
    await lease.connection.query(statement, 'Null', run.signal)
    const file = await open(path)
    const rows = file.createReadStream({ highWaterMark: 256 * 1024 })
    const close = async () => void rows.destroy()
    return { kind: 'rows', format: run.format, rows: Object.assign(rows as AsyncIterable<Uint8Array>, { close }) }
  } finally {
    stopCancelling()
    await rm(path, { force: true })
    await lease.release()
  }
}

/** Waits for the first rows: an error before them still gets a status of its own. */
async function stream(lease: Lease, run: Run, release: () => Promise<void>): Promise<Outcome> {
  let rows: RowStream | undefined
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= (async () => {
      await rows?.close()
      await release()
    })()
    return closing
  }
  try {
    rows = lease.connection.stream(run.statement, run.format)
    const first = await rows.next(run.signal)
    return { kind: 'rows', format: run.format, rows: Object.assign(iterate(rows, first, close), { close }) }
  } catch (error) {
    await close()
    throw error
  }
}

async function* iterate(rows: RowStream, first: Chunk, close: () => Promise<void>): AsyncGenerator<Uint8Array> {
  try {
    for (let chunk = first; !chunk.done; chunk = await rows.next()) yield chunk.bytes
  } finally {
    await close()
  }
}
