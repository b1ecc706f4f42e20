import { unwrapsDataKey } from '@conntext/keyring'
import postgres from 'postgres'
import { BackupError } from '../errors.ts'
import type { AppliedMigration, DatabaseName } from '../format.ts'
import type { VerifiedBackup } from '../verify.ts'

/** What this release's migrations are, oldest first. */
export type KnownMigrations = Record<DatabaseName, AppliedMigration[]> & { audit: number[] }

/**
 * Whether this release can take the backup up, and the master key opens what is sealed in it.
 * @throws BackupError that says why not
 */
export function assertRestorable(
  { header, snapshot }: VerifiedBackup,
  { known, masterKeys }: { known: KnownMigrations; masterKeys: Uint8Array[] },
): void {
  for (const database of ['communications', 'serverDetails'] as const) {
    const ours = new Set(known[database].map(({ hash }) => hash))
    if (snapshot.migrations[database].some(({ hash }) => !ours.has(hash))) throw newer(header.release)
  }
  if (snapshot.migrations.audit.some((version) => !known.audit.includes(version))) throw newer(header.release)
  const shut = snapshot.dataKeys.find(
    ({ service, id, wrapped }) => !unwrapsDataKey(masterKeys, service, { id, wrapped: Buffer.from(wrapped, 'base64') }),
  )
  if (shut) {
    throw new BackupError(
      'The master key does not belong to this backup: it opens none of what is sealed in it. Give the one that was in ' +
        'force when the backup was made.',
    )
  }
}

const newer = (release: string) =>
  new BackupError(
    `This backup was made by release ${release}, whose schema this release does not know: restore it with that release, ` +
      'or a later one.',
  )

/** Nobody's data is overwritten. @throws BackupError where somebody has used the database, or is connected to it */
export async function assertEmpty(urls: Record<DatabaseName, string>): Promise<void> {
  const tables = { communications: ['messages', 'media', 'conversations'], serverDetails: ['users', 'channels'] }
  for (const database of ['communications', 'serverDetails'] as const) {
    const client = postgres(urls[database], { max: 1, onnotice: () => {} })
    try {
      const users = await client`select distinct usename from pg_stat_activity where usename like 'conntext\\_%'`
      if (users.length > 0) {
        throw new BackupError(
          `Services are connected (${users.map(({ usename }) => usename).join(', ')}): stop them before restoring.`,
        )
      }
      for (const table of tables[database]) {
        const [there] = await client`select to_regclass(${table}) is not null as there`
        if (!there!.there) continue
        const [row] = await client`select exists(select from ${client(table)}) as used`
        if (row!.used) {
          throw new BackupError(`This server is not empty: there are ${table}. A backup is restored to an empty one.`)
        }
      }
    } finally {
      await client.end({ timeout: 5 })
    }
  }
}
