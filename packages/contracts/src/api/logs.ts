import { type Static, Type } from '@sinclair/typebox'
import { Cursor, Enumeration, Fields, Id, Limit, Nullable, Page, Shape, Timestamp } from './common.ts'

export const LogLevelName = Enumeration(['debug', 'info', 'warn', 'error'], { title: 'LogLevel' })
export type LogLevelName = Static<typeof LogLevelName>

/** One line that a service has logged. */
export const LogEntry = Shape('LogEntry', {
  id: Id,
  at: Timestamp,
  service: Type.String({ maxLength: 40, description: 'Or `server`, for what one process does for all of them' }),
  instance: Type.String({ maxLength: 100, description: 'The process' }),
  level: LogLevelName,
  message: Type.String(),
  requestId: Nullable(Type.String()),
  traceId: Nullable(Type.String()),
  fields: Type.Record(Type.String(), Type.Unknown(), { description: 'Never bodies or secrets' }),
})
export type LogEntry = Static<typeof LogEntry>
export const LogEntryPage = Page('LogEntryPage', LogEntry)

/** Newest first. Without `from`, the last 24 hours before `to`; by a request or a trace, all that is kept. */
export const LogQuery = Fields({
  limit: Limit,
  cursor: Cursor,
  service: Type.Optional(Type.String({ minLength: 1, maxLength: 40 })),
  level: Type.Optional(Enumeration(['debug', 'info', 'warn', 'error'])),
  text: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'Stands in the message or the fields, in any case' }),
  ),
  requestId: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  traceId: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
  from: Type.Optional(Timestamp),
  to: Type.Optional(Timestamp),
})
export type LogQuery = Static<typeof LogQuery>

export const MAX_LOG_RETENTION_DAYS = 366
const LogLevelWanted = Nullable(LogLevelName)
const LogRetention = Type.Integer({
  minimum: 1,
  maximum: MAX_LOG_RETENTION_DAYS,
  description: 'Days for which they are kept, by whole days of UTC',
})

/** How much all processes log, and for how long that is kept. `level` null: as much as each was started with. */
export const LogSettings = Shape('LogSettings', { level: LogLevelWanted, retentionDays: LogRetention })
export type LogSettings = Static<typeof LogSettings>

export const LogSettingsPatch = Shape('LogSettingsPatch', {
  level: Type.Optional(LogLevelWanted),
  retentionDays: Type.Optional(LogRetention),
})
export type LogSettingsPatch = Static<typeof LogSettingsPatch>
