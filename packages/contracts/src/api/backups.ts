import { type Static, Type } from '@sinclair/typebox'
import { Enumeration, Id, Nullable, Page, Shape, Timestamp } from './common.ts'

export const NewBackup = Shape('NewBackup', {
  logs: Type.Optional(Type.Boolean({ description: 'What the services have logged, too' })),
})
export type NewBackup = Static<typeof NewBackup>

export const Backup = Shape('Backup', {
  id: Id,
  state: Enumeration(['waiting', 'running', 'done', 'failed'], { title: 'BackupState' }),
  trigger: Enumeration(['asked', 'scheduled'], { title: 'BackupTrigger' }),
  askedBy: Nullable(Id),
  logs: Type.Boolean(),
  name: Type.String({ description: 'What its file is called' }),
  size: Nullable(Type.Integer({ minimum: 0, description: 'Bytes of the file' })),
  sha256: Nullable(Type.String({ description: 'Of the file, in hex' })),
  doneBytes: Type.Integer({ minimum: 0, description: 'How much has been read' }),
  totalBytes: Nullable(Type.Integer({ minimum: 0, description: 'How much there is to read, about' })),
  rows: Nullable(Type.Integer({ minimum: 0 })),
  objects: Nullable(Type.Integer({ minimum: 0, description: 'Stored files, thumbnails among them' })),
  missingObjects: Nullable(
    Type.Integer({ minimum: 0, description: 'Stored files that should be there and were not, before the backup' }),
  ),
  error: Nullable(Type.String()),
  createdAt: Timestamp,
  finishedAt: Nullable(Timestamp),
})
export type Backup = Static<typeof Backup>

export const BackupPage = Page('BackupPage', Backup)
