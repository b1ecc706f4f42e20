import type { ReservedSql } from 'postgres'
import type { BackupManifest, BackupSnapshot } from '../format.ts'

/**
 * By so much every stream is moved on. Clients may have seen numbers that were given after the backup was made; they must
 * never meet them again with another meaning. Their cursors are before the new head, and the log doesn't reach there: they
 * are told to fetch anew.
 */
const STREAM_LEAP = 1_000_000

const leap = (connection: ReservedSql) => connection`update streams set last_seq = last_seq + ${STREAM_LEAP}`

/** The Communication database, made fit for the world that it comes back to. */
export async function settleCommunications(connection: ReservedSql, { missing }: BackupManifest): Promise<void> {
  await leap(connection)
  // Their bytes are parts of no object yet, and not in the backup.
  await connection`delete from media_uploads where finished_at is null`
  await connection`update media_usage set reserved = 0 where reserved <> 0`
  if (missing.length === 0) return
  await connection`update media set state = 'lost'
    where object_id in (select id from media_objects where key in ${connection(missing)})`
}

/**
 * The Server Details database. What it had delivered to messaging since the other snapshot is owed again: that snapshot may
 * not have it, and receivers know repeats by their ids. Logins end: what was revoked after the backup must not come
 * back to life, and refresh tokens that were used since would look stolen.
 */
export async function settleServerDetails(connection: ReservedSql, { at }: BackupSnapshot): Promise<void> {
  await leap(connection)
  for (const outbox of ['auth_outbox', 'system_outbox']) {
    await connection`update ${connection(outbox)} set delivered_at = null
      where delivered_at > ${at.communications}::timestamptz - interval '10 seconds'`
  }
  await connection`delete from refresh_tokens`
  await connection`delete from validation_tokens`
  await connection`update sessions set revoked_at = now() where revoked_at is null`
  const [there] = await connection`select to_regclass('backups') is not null as there`
  if (there!.there) await connection`delete from backups where state in ('waiting', 'running')`
}
