import type { BackupStore, Sealing } from '@conntext/backup'
import { type Backup, type NewBackup, type Page, systemActor } from '@conntext/contracts'
import type { ServerDetails } from '@conntext/db-server-details'
import { actorOf, type Caller, dependencyErrors, pageById, pageRequest } from '@conntext/http'
import type { Clock } from '@conntext/kernel'
import { ObjectStoreUnavailable } from '@conntext/object-store'
import { recordAudit, systemAudit } from '../recorder.ts'
import { backupErrors } from './errors.ts'
import {
  type BackupRow,
  findBackup,
  insertBackup,
  listBackupRows,
  lockBackups,
  openBackups,
  removeBackup,
  toBackup,
} from './queries.ts'

/** Where backups are made from and where they go. */
export type BackupPlace = {
  /** As a user who may read everything. */
  serverDetailsUrl: string
  communicationsUrl: string
  /** The files of messages. */
  objects: Pick<BackupStore, 'get'>
  /** Where backups are kept. */
  target: BackupStore
  sealing: Sealing | undefined
  everyHours: number | undefined
  keep: number
}

export type BackupDeps = { db: ServerDetails; clock: Clock; backups: BackupPlace | undefined; nudge(): void }

/**
 * Asks for a backup, which whichever instance is free makes.
 * @throws backup.notConfigured (409), backup.busy (409)
 */
export async function askBackup(deps: BackupDeps, asked: NewBackup, caller: Caller): Promise<Backup> {
  if (!deps.backups?.sealing) throw notConfigured()
  const backup = await requestBackup(deps, asked, caller)
  deps.nudge()
  return backup
}

/**
 * The same for whoever can't know how the server is set up. Without a caller it was the operator, from beside the server.
 * @throws backup.busy (409)
 */
export async function requestBackup(
  { db, clock }: Pick<BackupDeps, 'db' | 'clock'>,
  { logs = false }: NewBackup,
  caller?: Caller,
): Promise<Backup> {
  const row = await db.transaction(async (tx) => {
    await lockBackups(tx)
    if ((await openBackups(tx)).length > 0) throw backupErrors.busy()
    const askedBy = caller?.userId ?? null
    const made = await insertBackup(tx, { trigger: 'asked', askedBy, logs, now: clock.now() })
    const actor = caller ? actorOf(caller) : systemActor
    await recordAudit(tx, [systemAudit('backup.asked', actor, made.id, { logs })])
    return made
  })
  return toBackup(row)
}

export const notConfigured = () =>
  backupErrors.notConfigured('Set CONNTEXT_BACKUP_RECIPIENTS or CONNTEXT_BACKUP_PASSPHRASE; see docs/backup.md.')

/** Newest first. @throws request.invalid (422) for a cursor that no page gave out */
export async function listBackups(
  { db }: BackupDeps,
  query: { limit?: string; cursor?: string },
): Promise<Page<Backup>> {
  const request = pageRequest(query)
  return pageById(await listBackupRows(db, request), request.limit, toBackup)
}

/** @throws backup.notFound (404) */
export async function getBackup({ db }: Pick<BackupDeps, 'db'>, id: string): Promise<Backup> {
  return toBackup(await existing(db, id))
}

export async function existing(db: Pick<ServerDetails, 'select'>, id: string): Promise<BackupRow> {
  const row = await findBackup(db as ServerDetails, id)
  if (!row) throw backupErrors.notFound()
  return row
}

/** An error of where backups are kept, for whoever asked: that it is away is told as such (503). */
export const asAway = (error: unknown): unknown =>
  error instanceof ObjectStoreUnavailable
    ? dependencyErrors.away({ detail: 'Where backups are kept is away for the moment.', retryAfter: 1, cause: error })
    : error

/**
 * Removes a backup and its file; one that is being made is given up.
 * @throws backup.notFound (404), backup.notConfigured (409), dependency.away (503)
 */
export async function deleteBackup(deps: BackupDeps, id: string, caller?: Caller): Promise<void> {
  const { db, backups, nudge } = deps
  const { name } = await existing(db, id)
  if (!backups) throw notConfigured()
  // The file first: what has no row any more would lie there for ever.
  await backups.target.delete(name).catch((error: unknown) => {
    throw asAway(error)
  })
  await db.transaction(async (tx) => {
    if (!(await removeBackup(tx, id))) throw backupErrors.notFound()
    await recordAudit(tx, [systemAudit('backup.deleted', caller ? actorOf(caller) : systemActor, id, { name })])
  })
  nudge()
}
