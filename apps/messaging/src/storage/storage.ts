import type { MediaStorage, MessagingPort } from '@conntext/contracts'
import { databaseSize } from '@conntext/database'
import type { Communications, CommunicationsExecutor } from '@conntext/db-communications'
import type { Logger } from '@conntext/kernel'
import { sql } from 'drizzle-orm'

const COUNT_WITHIN_MS = 8_000
const TOP = 20

type Counted = { files: string; bytes: string }

/** How much is stored here. Counting files reads their tables: where that takes too long it is left. */
export async function readStorage(db: Communications, log: Logger): ReturnType<MessagingPort['storage']> {
  const [size, media] = await Promise.all([
    databaseSize(db),
    countMedia(db).catch((error: unknown) => {
      log.warn({ err: error }, 'what files take up could not be counted')
      return null
    }),
  ])
  return { ...size, media }
}

const countMedia = (db: Communications): Promise<MediaStorage> =>
  db.transaction(async (tx) => {
    await tx.execute(sql`set local statement_timeout = ${sql.raw(String(COUNT_WITHIN_MS))}`)
    const [stored] = await rows<{ objects: string; bytes: string }>(
      tx,
      sql`select count(*) as objects, coalesce(sum(coalesce(o.thumbnail_size, 0) + coalesce(kept.size, 0)), 0) as bytes
        from media_objects o left join (select object_id, max(size) as size from media group by object_id) kept
        on kept.object_id = o.id`,
    )
    const carried = sql`select m.channel_id, f.id, f.size from message_media a
      join messages m on m.id = a.message_id join media f on f.id = a.media_id where m.deleted_at is null`
    const channels = await rows<Counted & { channel: string }>(
      tx,
      sql`select channel_id as channel, count(*) as files, sum(size) as bytes from (${carried}) carried
        where not exists (select from conversations c where c.id = channel_id)
        group by channel_id order by sum(size) desc, channel_id limit ${TOP}`,
    )
    const [conversations] = await rows<Counted>(
      tx,
      sql`select count(*) as files, coalesce(sum(size), 0) as bytes from (${carried}) carried
        where exists (select from conversations c where c.id = channel_id)`,
    )
    const [unused] = await rows<Counted>(
      tx,
      sql`select count(*) as files, coalesce(sum(size), 0) as bytes from media f
        where not exists (select from message_media a where a.media_id = f.id)
          and not exists (select from published_images p where p.media_id = f.id)`,
    )
    return {
      objects: Number(stored!.objects),
      bytes: Number(stored!.bytes),
      channels: channels.map(({ channel, ...counted }) => ({ channelId: channel, ...numbers(counted) })),
      conversations: numbers(conversations!),
      unused: numbers(unused!),
    }
  })

const rows = async <T>(tx: CommunicationsExecutor, query: ReturnType<typeof sql>): Promise<T[]> =>
  (await tx.execute(query)) as unknown as T[]

const numbers = ({ files, bytes }: Counted) => ({ files: Number(files), bytes: Number(bytes) })
