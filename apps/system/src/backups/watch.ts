import type { Probe } from '@conntext/http'
import { gauge } from '@conntext/kernel'
import { type BackupRow, latestBackup } from './queries.ts'
import type { BackupDeps } from './service.ts'

const lastAt = gauge('conntext_backup_last_success_timestamp_seconds', 'When the last backup was made')
const lastSize = gauge('conntext_backup_last_success_bytes', 'How large the last backup is')
const failed = gauge('conntext_backup_failed', '1 where the last backup that was tried could not be made')
const late = gauge('conntext_backup_overdue_seconds', 'For how long the next scheduled backup has been due')
const HOUR_MS = 3_600_000

type Watched = Pick<BackupDeps, 'db' | 'clock' | 'backups'>
type Standing = { done: BackupRow | undefined; tried: BackupRow | undefined }

async function standingOf({ db, clock }: Watched): Promise<Standing> {
  const now = clock.now()
  const done = await latestBackup(db, { now, states: ['done'] })
  // One that is under way now doesn't make up for the one before that failed.
  return { done, tried: await latestBackup(db, { now, states: ['done', 'failed'] }) }
}

/** By how many milliseconds the next is late; negative while it isn't due, undefined where none is scheduled. */
function lateMs({ clock, backups }: Watched, { done }: Standing, startedAt: number): number | undefined {
  if (backups?.everyHours === undefined) return undefined
  const dueAt = done ? done.createdAt.getTime() + backups.everyHours * HOUR_MS : startedAt
  return clock.now().getTime() - dueAt
}

/** Tells when the last backup was made, how large it is, and whether something is amiss. Answers how to end it. */
export function watchBackups(deps: Watched): () => void {
  const startedAt = deps.clock.now().getTime()
  const standing = () => standingOf(deps)
  const ends = [
    lastAt.from(async () => {
      const { done } = await standing()
      return done?.finishedAt ? [[done.finishedAt.getTime() / 1000]] : []
    }),
    lastSize.from(async () => {
      const { done } = await standing()
      return done?.size == null ? [] : [[done.size]]
    }),
    failed.from(async () => {
      const { tried } = await standing()
      return tried ? [[tried.state === 'failed' ? 1 : 0]] : []
    }),
    late.from(async () => {
      const ms = lateMs(deps, await standing(), startedAt)
      return ms === undefined ? [] : [[Math.max(0, ms) / 1000]]
    }),
  ]
  return () => {
    for (const end of ends) end()
  }
}

/** Whether backups are made as they should: the last one failed, or the next is overdue, or none could be made at all. */
export function backupProbe(deps: Watched): Probe {
  const { clock, backups } = deps
  const startedAt = clock.now().getTime()
  return {
    name: 'backups',
    critical: false,
    remedy: 'See the list of backups for why it failed, and docs/backup.md.',
    async run() {
      if (backups?.everyHours === undefined) return undefined
      if (!backups.sealing) {
        return {
          state: 'degraded',
          detail: 'Backups are scheduled, and nothing says how they are encrypted: none is made.',
          remedy: 'Set CONNTEXT_BACKUP_RECIPIENTS or CONNTEXT_BACKUP_PASSPHRASE.',
        }
      }
      const standing = await standingOf(deps)
      const { done, tried } = standing
      if (tried?.state === 'failed') {
        return { state: 'degraded', detail: `The last backup failed: ${tried.error}`, remedy: REMEDY }
      }
      // It takes its time, and its turn.
      if (lateMs(deps, standing, startedAt)! < Math.max(HOUR_MS, 0.1 * backups.everyHours * HOUR_MS)) return undefined
      const since = done ? `The last backup is of ${done.createdAt.toISOString()}` : 'There is no backup'
      return { state: 'degraded', detail: `${since}: the next is overdue.`, remedy: REMEDY }
    },
  }
}

const REMEDY = 'The list of backups and the log of the system service say why.'
