import type { Audit } from '@conntext/db-audit'
import type { ObjectStore } from '@conntext/object-store'
import type { Secret } from '../encryption.ts'
import { BackupError } from '../errors.ts'
import { type BackupManifest, type BackupSnapshot, DATABASES, type DatabaseName, partOfTable } from '../format.ts'
import { readBackup } from '../reading.ts'
import { Filling } from './postgres.ts'
import { settleCommunications, settleServerDetails } from './settle.ts'

/** Where a backup goes: databases whose schema is the backup's, an empty ClickHouse, and an object store. */
export type RestoreTarget = {
  urls: Record<DatabaseName, string>
  audit: Audit
  objects: ObjectStore
}

/**
 * Fills an empty server. The Server Details database is committed last: without it nobody takes what is there for a
 * server.
 * @throws BackupError; what has been written until then is in the engines' transactions, in ClickHouse and the object store
 */
export async function restoreBackup(
  sealed: ReadableStream<Uint8Array>,
  secret: Secret,
  { urls, audit, objects }: RestoreTarget,
): Promise<BackupManifest> {
  let fillings: Record<DatabaseName, Filling> | undefined
  let snapshot: BackupSnapshot | undefined
  let manifest: BackupManifest | undefined
  let id = ''
  let pieces = 0
  try {
    for await (const item of readBackup(sealed, secret)) {
      if (item.kind === 'header') id = item.header.id
      else if (item.kind === 'object') await objects.put(item.key, item.body)
      else if (item.kind === 'snapshot') {
        snapshot = item.snapshot
        fillings = await beginBoth(urls, snapshot)
      } else if (item.kind === 'piece') {
        if (!snapshot || !fillings) throw new BackupError('This backup is damaged: its parts are not in order.')
        const table = snapshot.tables.find(({ database, name }) => partOfTable(database, name) === item.part)
        if (table) await fillings[table.database].write(table, item.data)
        else await insert(audit, item.part, item.data, `restore:${id}:${pieces++}`)
      } else manifest = item.manifest
    }
    if (!snapshot || !fillings || !manifest) throw new BackupError('This backup is not whole.')
    await finish(fillings, snapshot, manifest)
    return manifest
  } catch (error) {
    for (const filling of Object.values(fillings ?? {})) await filling.giveUp()
    throw error
  }
}

async function beginBoth(
  urls: Record<DatabaseName, string>,
  { tables }: BackupSnapshot,
): Promise<Record<DatabaseName, Filling>> {
  const begin = (database: DatabaseName) =>
    Filling.begin(
      urls[database],
      tables.filter((table) => table.database === database),
    )
  return { communications: await begin('communications'), serverDetails: await begin('serverDetails') }
}

async function insert(audit: Audit, part: string, data: Uint8Array, token: string): Promise<void> {
  const table = part.slice(part.lastIndexOf('/') + 1)
  if (!['events', 'logs'].includes(table)) throw new BackupError(`This backup has ${part}, which this release has not.`)
  await audit.insertText(table, Buffer.from(data).toString(), token)
}

async function finish(
  fillings: Record<DatabaseName, Filling>,
  snapshot: BackupSnapshot,
  manifest: BackupManifest,
): Promise<void> {
  const rows = new Map(manifest.parts.map((part) => [part.name, part.rows]))
  for (const database of DATABASES) {
    const filling = fillings[database]
    await filling.endTable()
    for (const table of snapshot.tables.filter((one) => one.database === database)) {
      await filling.assertRows(table.name, rows.get(partOfTable(database, table.name)) ?? 0)
    }
    await filling.setSequences(snapshot, database)
  }
  await settleCommunications(fillings.communications.connection, manifest)
  await settleServerDetails(fillings.serverDetails.connection, snapshot)
  await fillings.communications.commit()
  await fillings.serverDetails.commit()
}
