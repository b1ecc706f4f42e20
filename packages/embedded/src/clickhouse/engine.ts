import { mkdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Gate } from './gate.ts'
import { literal } from './sql-text.ts'

/** What the engine's parser says about a text. */
export interface Classification {
  /** 0 when it can't be parsed. */
  statementCount: number
  kind: 'read' | 'write' | 'other' | 'invalid'
}

export interface QueryResult {
  bytes: Uint8Array
  rowsRead: number
  bytesRead: number
}

export interface InsertResult {
  rowsWritten: number
  bytesWritten: number
}

export interface Chunk {
  done: boolean
  bytes: Uint8Array
}

/** A connection has its own settings, database, parameters and temporary tables; one operation at a time. */
export interface Connection {
  query(sql: string, format?: string, signal?: AbortSignal): Promise<QueryResult>
  insert(prefix: string, data: Buffer, signal?: AbortSignal): Promise<InsertResult>
  stream(sql: string, format: string): RowStream
  /** Waits for what is running on it: closing it earlier would bring the whole engine down. */
  close(): Promise<void>
}

export interface RowStream {
  /** In a text format, in pieces of whole rows. */
  next(signal?: AbortSignal): Promise<Chunk>
  close(): Promise<void>
}

/** chdb's native addon. Its own JavaScript layer delays closing connections while any other query runs: too long for us. */
interface Native {
  CreateConnection(directory: string, args?: readonly string[]): object
  CloseConnection(connection: object): void
  QueryAsyncConnection(connection: object, sql: string, format: string): Promise<QueryResult>
  InsertRawAsyncConnection(connection: object, sql: string, data: Buffer, countLines: boolean): Promise<InsertResult>
  StreamQuery(connection: object, sql: string, format: string): object
  StreamFetch(stream: object): Promise<Chunk>
  StreamCancel(stream: object): void
  DurableClassifyAsync(connection: object, sql: string): Promise<{ statementCount: number; queryClass: number }>
}

const kinds = ['read', 'write', 'other', 'invalid'] as const

/** Thrown when the addon or the engine's library isn't there. */
export class EngineMissing extends Error {}

function loadNative(): Native {
  try {
    const require = createRequire(import.meta.url)
    // The loader picks the package of this platform; chdb doesn't export it, and its version is pinned.
    return require(join(dirname(require.resolve('chdb')), 'dist', 'loader.js')).loadNative() as Native
  } catch (error) {
    throw new EngineMissing(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

export interface EngineOptions {
  directory: string
  maxMemoryBytes: number
  /** Operations at a time, each on a thread of its own. */
  concurrency: number
}

/** How often the engine compares what it has allocated with what it takes; its own 50 ms are most of what it does idle. */
const MEMORY_LOOK_MS = 250

/** The engine over one data directory, which it locks. Only one can be open in a process. */
export class Engine {
  readonly #native: Native
  readonly #directory: string
  readonly #gate: Gate
  /** Keeps the engine running while no request has a connection. */
  readonly #keep: object
  #spool: Promise<unknown> | undefined

  private constructor(native: Native, { directory, maxMemoryBytes, concurrency }: EngineOptions) {
    this.#native = native
    this.#directory = directory
    this.#gate = new Gate(concurrency)
    this.#keep = native.CreateConnection(directory, [
      `--max_server_memory_usage=${maxMemoryBytes}`,
      `--memory_worker_period_ms=${MEMORY_LOOK_MS}`,
    ])
  }

  /** Throws `EngineMissing`, or the engine's own error when the directory can't be opened. */
  static open(options: EngineOptions): Engine {
    return new Engine(loadNative(), options)
  }

  /** Where an answer can be written that is too large for memory. What was left there is removed at the first. */
  async spoolPath(): Promise<string> {
    const directory = join(this.#directory, 'spool')
    this.#spool ??= rm(directory, { recursive: true, force: true }).then(() => mkdir(directory))
    await this.#spool
    return join(directory, crypto.randomUUID())
  }

  async classify(sql: string): Promise<Classification> {
    const { statementCount, queryClass } = await this.#native.DurableClassifyAsync(this.#keep, sql)
    return { statementCount, kind: kinds[queryClass] ?? 'invalid' }
  }

  connect(): Connection {
    const native = this.#native
    const connection = native.CreateConnection(this.#directory)
    let last: Promise<unknown> = Promise.resolve()
    const run = <T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T> => {
      const result = this.#gate.run(operation, signal)
      last = result.catch(() => {})
      return result
    }
    return {
      query: (sql, format = 'TabSeparated', signal) =>
        run(() => native.QueryAsyncConnection(connection, sql, format), signal),
      insert: (prefix, data, signal) =>
        run(() => native.InsertRawAsyncConnection(connection, prefix, data, false), signal),
      stream: (sql, format) => {
        const stream = native.StreamQuery(connection, sql, format)
        return {
          next: (signal) => run(() => native.StreamFetch(stream), signal),
          close: async () => {
            await last
            native.StreamCancel(stream)
          },
        }
      },
      close: async () => {
        await last
        native.CloseConnection(connection)
      },
    }
  }

  /** Asks the query that carries this `log_comment` to end; all queries without one. Goes past the gate. */
  async kill(logComment?: string): Promise<void> {
    const which = logComment === undefined ? '1' : `Settings['log_comment'] = ${literal(logComment)}`
    const connection = this.#native.CreateConnection(this.#directory)
    try {
      await this.#native.QueryAsyncConnection(connection, `KILL QUERY WHERE ${which} ASYNC`, 'Null')
    } finally {
      this.#native.CloseConnection(connection)
    }
  }

  /** Writes out what asynchronous inserts still hold, and lets go of the directory. No connection may be open. */
  close(): void {
    this.#native.CloseConnection(this.#keep)
  }
}
