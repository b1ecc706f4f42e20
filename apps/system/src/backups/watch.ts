import type { Probe } from '@conntext/http'
import { gauge } from '@conntext/kernel'
import { latestBackup } from './queries.ts'
import type { BackupDeps } from './service.ts'

const lastAt = gauge('conntext_backup_last_success_timestamp_seconds', 'When the last backup was made')
const lastSize = gauge('conntext_backup_last_success_bytes', 'How large the last backup is')
const HOUR_MS = 3_600_000

/** Tells when the last backup was made, and how large it is. Answers how to end it. */
export function watchBackups({ db }: BackupDeps): () => void {
  const last = () => latestBackup(db, { state: 'done' })
  const ends = [
    lastAt.from(async () => {
      const row = await last()
      return row?.finishedAt ? [[row.finishedAt.getTime() / 1000]] : []
    }),
    lastSize.from(async () => {
      const row = await last()
      return row?.size == null ? [] : [[row.size]]
    }),
  ]
  return () => {
    for (const end of ends) end()
  }
}

/** Whether backups are made as they should: the last one failed, or the next is overdue, or none could be made at all. */
export function backupProbe({ db, clock, backups }: BackupDeps): Probe {
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
      const [done, last] = [await latestBackup(db, { state: 'done' }), await latestBackup(db, {})]
      if (last?.state === 'failed') {
        return { state: 'degraded', detail: `The last backup failed: ${last.error}`, remedy: REMEDY }
      }
      const dueAt = done ? done.createdAt.getTime() + backups.everyHours * HOUR_MS : startedAt
      const lateMs = clock.now().getTime() - dueAt
      // It takes its time, and its turn.
      if (lateMs < Math.max(HOUR_MS, 0.1 * backups.everyHours * HOUR_MS)) return undefined
      const since = done ? `The last backup is of ${done.createdAt.toISOString()}` : 'There is no backup'
      return { state: 'degraded', detail: `${since}: the next is overdue.`, remedy: REMEDY }
    },
  }
}

const REMEDY = 'The list of backups and the log of the system service say why.'
