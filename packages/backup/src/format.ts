/** Raised when a reader of this release could not read what is written. */
export const FORMAT = 1

export const DATABASES = ['communications', 'serverDetails'] as const
export type DatabaseName = (typeof DATABASES)[number]

/** The first entry, `backup.json`. */
export type BackupHeader = { format: number; id: string; release: string; beganAt: string }

export type TableColumns = { database: DatabaseName; name: string; columns: string[] }
export type Sequence = { database: DatabaseName; name: string; value: string; isCalled: boolean }
export type AppliedMigration = { hash: string; at: number }

/** `snapshot.json`: what the rows that follow it are of. The Communication database's moment is the earlier one. */
export type BackupSnapshot = {
  at: Record<DatabaseName, string>
  /** In an order in which they can be filled: those that are referred to first. */
  tables: TableColumns[]
  sequences: Sequence[]
  migrations: Record<DatabaseName, AppliedMigration[]> & { audit: number[] }
  /** Wrapped, as the database has them: by these it is seen whether a master key fits. */
  dataKeys: { service: string; id: string; wrapped: string }[]
  /** The last batch of the audit log; its rows up to here are in the backup. */
  lastBatch: number
}

/** A table, or a table of ClickHouse, cut into pieces of bounded size; `sha256` is of all of them, unpacked. */
export type BackupPart = { name: string; rows: number; bytes: number; pieces: number; sha256: string }

/** One line of `objects/…jsonl.zst` in `index/`, for each object that came before it. */
export type ObjectLine = { key: string; size: number; sha256: string }

/** The last entry, `manifest.json`: a backup without it is none. */
export type BackupManifest = {
  id: string
  endedAt: string
  parts: BackupPart[]
  /** `sha256` is of all lines of the index. */
  objects: { count: number; bytes: number; sha256: string }
  /** Keys that rows name, and that the object store did not have. */
  missing: string[]
}

export const HEADER = 'backup.json'
export const SNAPSHOT = 'snapshot.json'
export const MANIFEST = 'manifest.json'
export const OBJECTS = 'objects/'
export const INDEX = 'index/'

/** What is cut into pieces is cut at about so many bytes, before they are packed. */
export const PIECE_BYTES = 4 * 2 ** 20
/** No piece is longer: a single row is. */
export const MOST_PIECE_BYTES = 512 * 2 ** 20

/** How far it is, in bytes of about what there is to do. */
export type BackupProgress = { done: number; total: number; what: string }

export const partOfTable = (database: DatabaseName, table: string): string => `postgres/${database}/${table}`
export const partOfEngine = (table: string): string => `clickhouse/${table}`
