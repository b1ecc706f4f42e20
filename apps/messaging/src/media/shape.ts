import type { Media } from '@conntext/contracts'
import type { media, mediaObjects } from '@conntext/db-communications'

export type MediaRow = typeof media.$inferSelect
export type ObjectRow = typeof mediaObjects.$inferSelect

export const toMedia = (row: MediaRow): Media => ({
  id: row.id,
  ownerId: row.ownerId,
  filename: row.filename,
  contentType: row.contentType,
  size: row.size,
  sha256: row.sha256,
  state: row.state,
  width: row.width,
  height: row.height,
  thumbnail: row.thumbnail,
  createdAt: row.createdAt.toISOString(),
})
