import type { LibraryItem, LibraryQuery, Page, StorageUsage } from '@conntext/contracts'
import { pageLimit } from '@conntext/contracts'
import {
  accessErrors,
  type Caller,
  CURSOR_ID,
  channelNotFound,
  decodeCursor,
  encodeCursor,
  inScope,
  pageOf,
  type Refused,
} from '@conntext/http'
import { toMedia } from '../media/shape.ts'
import { type Quotas, readUsage, type Usage } from '../media/usage.ts'
import { type ChannelDeps, searchableChannels } from '../search/channels.ts'
import { inSnapshot } from '../snapshot.ts'
import { libraryErrors } from './errors.ts'
import { type LibraryRow, listLibrary } from './queries.ts'

export type LibraryDeps = ChannelDeps & { quotas: Quotas; refused: Refused }

const CURSOR_POSITION = /^\d{1,3}$/

/**
 * The files of channels and conversations whose history the caller may read, newest first.
 * @throws channel.notFound (404), access.forbidden (403) with an API token that is not for history, library.tooSlow (503)
 */
export async function readLibrary(deps: LibraryDeps, caller: Caller, query: LibraryQuery): Promise<Page<LibraryItem>> {
  if (!inScope(caller, 'message.history')) {
    deps.refused(caller, 'message.history', 'GET /v1/library')
    throw accessErrors.forbidden('This needs the permission message.history.')
  }
  const visible = (await searchableChannels(deps, caller)).map(({ id }) => id)
  const { channelId, uploaderId, kind } = query
  if (channelId !== undefined && !visible.includes(channelId)) throw channelNotFound()
  const channelIds = channelId === undefined ? visible : [channelId]
  const limit = pageLimit(query.limit)
  const after = query.cursor === undefined ? undefined : positionOf(query.cursor)
  const filter = { channelIds, uploaderId, kind }
  const rows = await inSnapshot(deps.db, tooSlow, (tx) => listLibrary(tx, filter, { limit: limit + 1, after }))
  return pageOf(rows, limit, toItem, (row) => encodeCursor([row.messageId, row.position]))
}

const tooSlow = (cause: unknown) => libraryErrors.tooSlow({ retryAfter: 10, cause })

function positionOf(cursor: string) {
  const [messageId, position] = decodeCursor(cursor, [CURSOR_ID, CURSOR_POSITION])
  return { messageId: messageId!, position: Number(position) }
}

const toItem = ({ media, channelId, messageId, attachedAt }: LibraryRow): LibraryItem => ({
  media: toMedia(media),
  channelId,
  messageId,
  attachedAt: attachedAt.toISOString(),
})

/** What is stored for the caller, and how much more may be; in all, for those who look after the server. */
export async function readStorageUsage(deps: LibraryDeps, caller: Caller): Promise<StorageUsage> {
  const { db, guard, quotas } = deps
  const { own, server } = await readUsage(db, caller.userId)
  const seesAll = await guard.allows(caller, 'system.view')
  return { ...toStorage(own, quotas.person), server: seesAll ? toStorage(server, quotas.server) : null }
}

const toStorage = ({ bytes, files, reserved }: Usage, quota: number | undefined) => ({
  bytes,
  files,
  reservedBytes: reserved,
  quotaBytes: quota ?? null,
  leftBytes: quota === undefined ? null : Math.max(0, quota - bytes - reserved),
})
