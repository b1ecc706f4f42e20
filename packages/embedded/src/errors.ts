/** Base of every failure this package raises on purpose; `code` is stable and safe to switch on. */
export abstract class EmbeddedError extends Error {
  abstract readonly code: string
  override get name() {
    return this.constructor.name
  }
}

/** The data directory can't be used: not a directory, not ours, not writable, open to others, or not empty. */
export class DataDirectoryUnusable extends EmbeddedError {
  readonly code = 'data_directory_unusable'
}

/** Another process holds the data directory's lock; `holder` is its process id, when known. */
export class DataDirectoryInUse extends EmbeddedError {
  readonly code = 'data_directory_in_use'
  constructor(
    message: string,
    readonly holder: number | undefined,
  ) {
    super(message)
  }
}

/** A secret's file is readable by others, malformed, or can't be read. */
export class SecretUnusable extends EmbeddedError {
  readonly code = 'secret_unusable'
}

/** There are no Postgres binaries for this platform, or they can't run here: configure a database URL instead. */
export class EmbeddedPostgresUnavailable extends EmbeddedError {
  readonly code = 'embedded_postgres_unavailable'
}

/** Postgres is there but doesn't start: its data is of another version, its port is taken, initdb failed … */
export class EmbeddedPostgresFailed extends EmbeddedError {
  readonly code = 'embedded_postgres_failed'
}

/** chdb isn't there for this platform or can't be loaded: configure a ClickHouse URL instead. */
export class EmbeddedClickHouseUnavailable extends EmbeddedError {
  readonly code = 'embedded_clickhouse_unavailable'
}

/** chdb is there but doesn't start: its data directory is locked or damaged, its port is taken … */
export class EmbeddedClickHouseFailed extends EmbeddedError {
  readonly code = 'embedded_clickhouse_failed'
}

/** The `code` of a system error such as ENOENT. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
