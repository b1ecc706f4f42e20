import { Readable } from 'node:stream'
import { createGzip, createZstdCompress } from 'node:zlib'
import type { AuditExportFormat, AuditExportQuery } from '@conntext/contracts'
import { countExport, type EventPosition, exportEvents } from '@conntext/db-audit'
import { actorOf, type Caller } from '@conntext/http'
import { recordAudit, systemAudit } from '../../recorder.ts'
import type { Bounded } from '../bounded.ts'
import { fromAudit } from '../errors.ts'
import { filterOf, namesOf, windowOf } from '../filters.ts'
import { type AnalyticsDeps, findEvent } from '../service.ts'
import { exportErrors } from './errors.ts'

const FORMATS: Record<AuditExportFormat, { type: string; extension: string }> = {
  ndjson: { type: 'application/x-ndjson', extension: 'ndjson' },
  csv: { type: 'text/csv; charset=utf-8; header=present', extension: 'csv' },
  parquet: { type: 'application/vnd.apache.parquet', extension: 'parquet' },
}
const COMPRESSIONS = {
  gzip: { make: () => createGzip({ level: 5 }), type: 'application/gzip', extension: '.gz' },
  zstd: { make: () => createZstdCompress(), type: 'application/zstd', extension: '.zst' },
}

export type ExportDeps = AnalyticsDeps & { running: Bounded }

/**
 * The events that pass the filters, oldest first, streamed; how many there are to come is in `X-Expected-Rows`. One that
 * breaks off breaks off the connection. It is recorded before the first of them is sent.
 * @throws request.invalid, audit.badWindow, audit.notResumable (422), audit.notFound (404), audit.exportBusy (429),
 *   dependency.away (503)
 */
export async function exportTrail(
  deps: ExportDeps,
  caller: Caller,
  query: AuditExportQuery,
  signal: AbortSignal,
): Promise<Response> {
  const { from, to, format, compression, afterId, ...asked } = query
  const filter = filterOf(asked)
  const window = windowOf(deps.clock, { from, to }, new Date(0))
  if (afterId !== undefined && format === 'parquet') throw exportErrors.notResumable('Parquet is one whole.')
  const leave = deps.running.enter(caller.userId)
  if (!leave) throw exportErrors.exportBusy({ detail: 'Wait until one is done.', retryAfter: 10 })
  const over = new AbortController()
  const close = () => {
    over.abort()
    leave()
  }
  try {
    const after = afterId === undefined ? undefined : await positionOf(deps, afterId)
    const selection = { window, filter, after }
    const expected = await fromAudit(countExport(deps.audit, selection))
    const body = await fromAudit(exportEvents(deps.audit, format, selection, AbortSignal.any([signal, over.signal])))
    await recordAudit(deps.db, [
      systemAudit('audit.exported', actorOf(caller), null, {
        format,
        filters: namesOf(query),
        from: window.from.toISOString(),
        to: window.to.toISOString(),
        expectedRows: expected,
      }),
    ])
    deps.nudge()
    return answer(body, { format, compression, expected, at: deps.clock.now(), close })
  } catch (error) {
    close()
    throw error
  }
}

async function positionOf(deps: ExportDeps, id: string): Promise<EventPosition> {
  const event = await findEvent(deps, id)
  return { occurredAt: new Date(event.occurredAt), id }
}

type Shown = {
  format: AuditExportFormat
  compression: 'gzip' | 'zstd' | undefined
  expected: number
  at: Date
  close(): void
}

function answer(body: AsyncIterable<Uint8Array>, { format, compression, expected, at, close }: Shown): Response {
  const packing = compression && COMPRESSIONS[compression]
  const name = `audit-${at.toISOString().slice(0, 10)}.${FORMATS[format].extension}${packing?.extension ?? ''}`
  const source = Readable.from(body, { objectMode: false, highWaterMark: 1 })
  // Also where nobody has read a word of it.
  source.once('close', close)
  return new Response(Readable.toWeb(packing ? piped(source, packing.make()) : source) as unknown as ReadableStream, {
    headers: {
      'content-type': packing?.type ?? FORMATS[format].type,
      'content-disposition': `attachment; filename="${name}"`,
      'cache-control': 'no-store',
      'x-expected-rows': String(expected),
    },
  })
}

/** What ends one ends the other: a failure on the way is one of the whole. */
function piped<T extends NodeJS.ReadWriteStream & { destroy(error?: Error): unknown }>(
  source: Readable,
  through: T,
): Readable {
  source.on('error', (error) => through.destroy(error))
  through.on('close', () => source.destroy())
  return source.pipe(through) as unknown as Readable
}
