import type { Backup } from '@conntext/contracts'
import { migrateCommunications } from '@conntext/db-communications'
import { type Logger, StartError, systemClock } from '@conntext/kernel'
import { findBackup, listBackupRows, makeWaiting, removeBackup, requestBackup, toBackup } from '@conntext/system/admin'
import manifest from '../../../package.json'
import type { Place } from '../place.ts'
import { progressBar } from '../progress.ts'
import { copyOut } from './copy-out.ts'
import { backupConfigOf, openTarget } from './source.ts'

const LOOK_EVERY_MS = 250
/** How long a running server has to take it up. */
const TAKEN_UP_WITHIN_MS = 30_000
const MIB = 2 ** 20

export type Told = { log: Logger; say(line: string): void }

/**
 * Has a backup made: by the running server, which knows where to and how encrypted, or by this command where none runs.
 * @throws StartError, AppError
 */
export async function createBackup(
  place: Place,
  { logs, to }: { logs: boolean; to: string | undefined },
  log: Logger,
): Promise<{ name: string; said: string }> {
  const { id } = await requestBackup({ db: place.db, clock: systemClock }, { logs })
  const stopping = new AbortController()
  const ours = place.running ? undefined : makeHere(place, log, stopping.signal)
  const bar = progressBar()
  try {
    const [backup] = await Promise.all([ended(place, id, bar.show), ours])
    if (backup.state === 'failed') throw new StartError(`The backup failed: ${backup.error}`)
    bar.end()
    if (to !== undefined) await copyOut(await openTarget(process.env), backup, to)
    return { name: to ?? backup.name, said: saidOf(backup) }
  } catch (error) {
    stopping.abort()
    await place.db.transaction((tx) => removeIfWaiting(tx, id))
    throw error
  } finally {
    bar.end()
  }
}

type Transaction = Parameters<Parameters<Place['db']['transaction']>[0]>[0]

async function removeIfWaiting(tx: Transaction, id: string): Promise<void> {
  if ((await findBackup(tx, id))?.state === 'waiting') await removeBackup(tx, id)
}

async function makeHere(place: Place, log: Logger, stopping: AbortSignal): Promise<void> {
  const { sealing, keep, everyHours } = backupConfigOf(process.env)
  if (!sealing) throw new StartError('Set CONNTEXT_BACKUP_RECIPIENTS or CONNTEXT_BACKUP_PASSPHRASE first.')
  // A running server has brought it up to date itself.
  await migrateCommunications(place.urls.communicationsUrl)
  await using audit = await place.openAudit(log)
  const target = await openTarget(process.env)
  const objects = await place.openObjects()
  const backups = { ...place.urls, objects, target, sealing, keep, everyHours }
  const deps = { db: place.db, clock: systemClock, backups, audit, log, version: manifest.version, nudge: () => {} }
  await makeWaiting(deps, stopping)
}

async function ended(
  { db, running }: Place,
  id: string,
  show: ReturnType<typeof progressBar>['show'],
): Promise<Backup> {
  const asked = performance.now()
  for (;;) {
    const row = await findBackup(db, id)
    if (!row) throw new StartError('The backup was deleted while it was being made.')
    const backup = toBackup(row)
    if (backup.state === 'done' || backup.state === 'failed') return backup
    if (running && backup.state === 'waiting' && performance.now() - asked > TAKEN_UP_WITHIN_MS) {
      throw new StartError(
        'The server does not take the backup up: does its system service run, with CONNTEXT_BACKUP_RECIPIENTS or ' +
          'CONNTEXT_BACKUP_PASSPHRASE set?',
      )
    }
    const { doneBytes, totalBytes } = backup
    if (totalBytes) show({ done: Math.floor(doneBytes / MIB), total: Math.ceil(totalBytes / MIB), what: 'MiB' })
    await Bun.sleep(LOOK_EVERY_MS)
  }
}

const number = (value: number | null) => (value ?? 0).toLocaleString('en')

function saidOf({ rows, objects, size, missingObjects }: Backup): string {
  const missing = missingObjects ? `; ${number(missingObjects)} files were missing before it, see media check` : ''
  return `${number(rows)} rows and ${number(objects)} files in ${number(size)} bytes${missing}`
}

const PAGE = 100

/** One line for each, newest first. */
export async function* listBackups({ db }: Place): AsyncGenerator<string> {
  for (let after: string | undefined; ; ) {
    const rows = await listBackupRows(db, { limit: PAGE, after })
    for (const row of rows.slice(0, PAGE)) {
      const { state, name, size, createdAt, error, trigger } = toBackup(row)
      const what = error ?? (size === null ? '' : `${number(size)} bytes`)
      yield [createdAt, state.padEnd(7), trigger.padEnd(9), name, what].join('  ')
    }
    if (rows.length <= PAGE) return
    after = rows[PAGE - 1]!.id
  }
}
