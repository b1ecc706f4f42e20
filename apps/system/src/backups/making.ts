import { type BackupManifest, type BackupProgress, writeBackup } from '@conntext/backup'
import { systemActor } from '@conntext/contracts'
import type { Audit } from '@conntext/db-audit'
import type { Logger } from '@conntext/kernel'
import { recordAudit, systemAudit } from '../recorder.ts'
import { announceWork } from '../work.ts'
import {
  type BackupRow,
  claimBackup,
  insertBackup,
  latestBackup,
  leftBackups,
  lockBackups,
  removeOldFailures,
  setRunning,
  surplusBackups,
} from './queries.ts'
import { type BackupDeps, type BackupPlace, deleteBackup } from './service.ts'

export type MakingDeps = BackupDeps & { audit: Audit; log: Logger; version: string }

const TELL_EVERY_MS = 2_000
const HOUR_MS = 3_600_000
const KEEP_FAILED_MS = 90 * 24 * HOUR_MS

class GivenUp extends Error {}

/** Asks for the backup that is due, if one is; one instance does. */
export async function schedule(deps: MakingDeps): Promise<void> {
  const { db, clock, backups } = deps
  const every = backups?.sealing && backups.everyHours
  if (!every) return
  await db.transaction(async (tx) => {
    await lockBackups(tx)
    const now = clock.now()
    const last = await latestBackup(tx, { now, trigger: 'scheduled' })
    // One that failed is tried again sooner.
    const pause = last?.state === 'failed' ? Math.min(every, 1) : every
    if (last && (last.state === 'waiting' || last.state === 'running')) return
    if (last && now.getTime() - last.createdAt.getTime() < pause * HOUR_MS) return
    await insertBackup(tx, { trigger: 'scheduled', askedBy: null, logs: false, now })
  })
}

/** Makes the backup that waits, if one does and no other is being made. Answers whether there was one. */
export async function makeWaiting(deps: MakingDeps, stopping: AbortSignal): Promise<boolean> {
  const { db, backups } = deps
  if (!backups?.sealing) return false
  const { left, row } = await db.transaction(async (tx) => {
    await lockBackups(tx)
    const gone = await leftBackups(tx)
    for (const one of gone) await fail(deps, one, new Error('Whoever made it is gone.'), tx)
    return { left: gone, row: await claimBackup(tx) }
  })
  if (left.length > 0) deps.nudge()
  // One is made at a time: whatever else lies there half done is nobody's any more.
  const clear = async () => {
    for (const { name } of left) await backups.target.delete(name)
    await backups.target.sweepTemporary(0)
  }
  if (!row) {
    if (left.length > 0) await clear()
    return false
  }
  await make(deps, backups, row, { stopping, clear })
  deps.nudge()
  return true
}

type Making = { stopping: AbortSignal; clear(): Promise<void> }

async function make(deps: MakingDeps, place: BackupPlace, row: BackupRow, { stopping, clear }: Making): Promise<void> {
  const { db, audit, clock, log, version } = deps
  const over = new AbortController()
  let progress: BackupProgress = { done: 0, total: 0, what: '' }
  const timer = setInterval(() => {
    setRunning(db, row.id, { doneBytes: Math.floor(progress.done), totalBytes: Math.floor(progress.total) }).then(
      (isOurs) => isOurs || over.abort(new GivenUp()),
      (error: unknown) => log.warn({ err: error }, 'how far a backup is could not be written down'),
    )
  }, TELL_EVERY_MS)
  try {
    await clear()
    const { stored, manifest } = await writeBackup(
      { ...place, audit },
      {
        id: row.id,
        release: version,
        sealing: place.sealing!,
        logs: row.logs,
        now: clock.now(),
        target: place.target,
        key: row.name,
        signal: AbortSignal.any([stopping, over.signal]),
        onProgress: (told) => {
          progress = told
        },
      },
    )
    await finish(deps, row, { ...stored, manifest, read: progress.total })
  } catch (error) {
    await place.target.delete(row.name).catch(() => {})
    if (over.signal.aborted || error instanceof GivenUp) {
      log.warn({ backup: row.id }, 'a backup was given up: it has been deleted, or taken for left')
    } else if (stopping.aborted) await giveBack(deps, row)
    else await fail(deps, row, error)
  } finally {
    clearInterval(timer)
  }
  await removeSurplus(deps, place)
}

/** Another instance, or this one after its start, begins it anew. */
async function giveBack({ db }: MakingDeps, { id }: BackupRow): Promise<void> {
  await setRunning(db, id, { state: 'waiting', doneBytes: 0 })
  await announceWork(db, 'backups')
}

type Made = { size: number; sha256: string; manifest: BackupManifest; read: number }

async function finish(deps: MakingDeps, row: BackupRow, { size, sha256, manifest, read }: Made): Promise<void> {
  const { db, clock, log } = deps
  const rows = manifest.parts.reduce((sum, part) => sum + part.rows, 0)
  const counts = { size, sha256, rows, objects: manifest.objects.count, missingObjects: manifest.missing.length }
  if (manifest.missing.length > 0) {
    log.error({ backup: row.id, missing: manifest.missing.length }, 'files that rows name are not in the object store')
  }
  await db.transaction(async (tx) => {
    const ended = { ...counts, state: 'done' as const, doneBytes: read, totalBytes: read, finishedAt: clock.now() }
    if (!(await setRunning(tx, row.id, ended))) throw new GivenUp()
    await recordAudit(tx, [systemAudit('backup.created', systemActor, row.id, { name: row.name, ...counts })])
  })
}

async function fail(
  deps: MakingDeps,
  row: BackupRow,
  cause: unknown,
  tx: Pick<MakingDeps, 'db'>['db'] | Parameters<Parameters<MakingDeps['db']['transaction']>[0]>[0] = deps.db,
): Promise<void> {
  deps.log.error({ err: cause, backup: row.id }, 'a backup could not be made')
  const error = (cause instanceof Error ? cause.message : String(cause)).slice(0, 500)
  await tx.transaction(async (inner) => {
    if (!(await setRunning(inner, row.id, { state: 'failed', error, finishedAt: deps.clock.now() }))) return
    await recordAudit(inner, [systemAudit('backup.failed', systemActor, row.id, { error })])
  })
}

async function removeSurplus(deps: MakingDeps, { keep }: BackupPlace): Promise<void> {
  for (const { id } of await surplusBackups(deps.db, { keep, now: deps.clock.now() })) await deleteBackup(deps, id)
  await removeOldFailures(deps.db, new Date(deps.clock.now().getTime() - KEEP_FAILED_MS))
}
