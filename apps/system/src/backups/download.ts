import { actorOf, type Caller, evaluateConditions, isHead, problemResponse } from '@conntext/http'
import { ObjectNotFound, RangeNotSatisfiable } from '@conntext/object-store'
import { recordAudit, systemAudit } from '../recorder.ts'
import { backupErrors } from './errors.ts'
import type { BackupRow } from './queries.ts'
import { asAway, type BackupDeps, type BackupPlace, existing, notConfigured } from './service.ts'

/** The file of a backup: it never changes, so that one that was cut off goes on where it was. */
type BackupFile = { id: string; name: string; size: number; etag: string; lastModified: Date }
type Span = { start: number; end: number } | undefined

/**
 * The file itself, as it lies there, or the part of it that is asked for. Before the first byte goes out it is recorded,
 * with how many it will be.
 * @throws backup.notFound (404), backup.notDone (409), backup.notConfigured (409), backup.gone (410), dependency.away (503)
 */
export async function downloadBackup(
  deps: BackupDeps,
  caller: Caller,
  { id, request }: { id: string; request: Request },
): Promise<Response> {
  const row = await existing(deps.db, id)
  if (row.state !== 'done') throw backupErrors.notDone()
  if (!deps.backups) throw notConfigured()
  const file = toFile(row)
  const decision = evaluateConditions(request.headers, file)
  const headers = headersOf(file)
  switch (decision.status) {
    case 304:
      return new Response(null, { status: 304, headers })
    case 412:
      return problemResponse(backupErrors.changed(), caller.requestId)
    case 416: {
      const refusal = problemResponse(backupErrors.rangeNotSatisfiable(), caller.requestId)
      refusal.headers.set('content-range', `bytes */${file.size}`)
      return refusal
    }
    default: {
      const span = 'range' in decision ? decision.range : undefined
      if (span) headers.set('content-range', `bytes ${span.start}-${span.end}/${file.size}`)
      headers.set('content-length', String(lengthOf(file, span)))
      const body = await (isHead(request) ? look(deps.backups, file) : open(deps, caller, { file, span }))
      return new Response(body, { status: decision.status, headers })
    }
  }
}

/** Of one that is done. */
const toFile = ({ id, name, size, sha256, finishedAt }: BackupRow): BackupFile => ({
  id,
  name,
  size: size!,
  etag: `"${sha256}"`,
  lastModified: new Date(Math.floor(finishedAt!.getTime() / 1000) * 1000),
})

const lengthOf = ({ size }: BackupFile, span: Span): number => (span ? span.end - span.start + 1 : size)

const headersOf = ({ name, etag, lastModified }: BackupFile) =>
  new Headers({
    etag,
    'last-modified': lastModified.toUTCString(),
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="${name}"`,
    'cache-control': 'no-store',
  })

async function look({ target }: BackupPlace, { name, size }: BackupFile): Promise<null> {
  const found = await target.head(name).catch(unreadable)
  if (found.size !== size) throw backupErrors.gone()
  return null
}

async function open(
  { db, backups, nudge }: BackupDeps,
  caller: Caller,
  { file, span }: { file: BackupFile; span: Span },
): Promise<ReadableStream<Uint8Array>> {
  const found = await backups!.target.get(file.name, span && { range: span }).catch(unreadable)
  try {
    if (found.size !== file.size) throw backupErrors.gone()
    const data = { name: file.name, size: lengthOf(file, span) }
    await recordAudit(db, [systemAudit('backup.downloaded', actorOf(caller), file.id, data)])
  } catch (error) {
    await found.body.cancel()
    throw error
  }
  nudge()
  return found.body
}

function unreadable(error: unknown): never {
  throw error instanceof ObjectNotFound || error instanceof RangeNotSatisfiable ? backupErrors.gone() : asAway(error)
}
