import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'

export const Media = Shape('Media', {
  id: Id,
  ownerId: Id,
  filename: Type.String(),
  contentType: Type.String({ description: 'From the bytes where they tell, not from the name' }),
  size: Type.Integer({ minimum: 0, description: 'Bytes' }),
  sha256: Type.String({
    pattern: '^[0-9a-f]{64}$',
    description: 'Of what is served: of a picture, once it is ready, without what it told of its making',
  }),
  state: Enumeration(['processing', 'ready', 'lost'], { title: 'MediaState' }),
  width: Nullable(Type.Integer({ minimum: 0, description: "A picture's, in pixels as it is shown" })),
  height: Nullable(Type.Integer({ minimum: 0 })),
  thumbnail: Type.Boolean({ description: 'Whether there is a smaller picture: content?variant=thumb' }),
  createdAt: Timestamp,
})
export type Media = Static<typeof Media>

export const MediaParams = Fields({ mediaId: Id })

export const MediaQuery = Fields({ variant: Type.Optional(Enumeration(['thumb'])) })

export const UploadQuery = Fields({
  filename: Type.Optional(
    Type.String({ maxLength: 1024, description: 'Path parts and control characters are dropped' }),
  ),
})

/** A resumable upload. With `offset` at `size` it is finished: its id is the file's. */
export const Upload = Shape('Upload', {
  id: Id,
  filename: Type.String(),
  size: Type.Integer({ minimum: 0, description: 'Bytes of the whole' }),
  offset: Type.Integer({ minimum: 0, description: 'Bytes that have arrived for good' }),
  expiresAt: Timestamp,
})
export type Upload = Static<typeof Upload>

export const UploadParams = Fields({ uploadId: Id })

export const MediaKind = Enumeration(['image', 'video', 'audio', 'other'], { title: 'MediaKind' })

export const LibraryQuery = Fields({
  channelId: Type.Optional(Id),
  uploaderId: Type.Optional(Id),
  kind: Type.Optional(MediaKind),
  limit: Limit,
  cursor: Cursor,
})
export type LibraryQuery = Static<typeof LibraryQuery>

/** A file where a message carries it; one that several carry is there several times. */
export const LibraryItem = Shape('LibraryItem', {
  media: Media,
  channelId: Id,
  messageId: Id,
  attachedAt: Timestamp,
})
export type LibraryItem = Static<typeof LibraryItem>
export const LibraryPage = Page('LibraryPage', LibraryItem)

const Stored = {
  bytes: Type.Integer({ description: 'Of all files' }),
  files: Type.Integer(),
  reservedBytes: Type.Integer({ description: 'Set aside for uploads that have begun' }),
  quotaBytes: Nullable(Type.Integer({ description: 'Null where there is none' })),
  leftBytes: Nullable(Type.Integer({ minimum: 0 })),
}

export const StorageUsage = Shape('StorageUsage', {
  ...Stored,
  server: Nullable(Fields(Stored)),
})
export type StorageUsage = Static<typeof StorageUsage>
