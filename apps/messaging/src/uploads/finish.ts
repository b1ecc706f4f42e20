import type { Caller } from '@conntext/http'
import type { PendingUpload } from '@conntext/object-store'
import { detectContentType, HEAD_BYTES } from '../media/content-type.ts'
import type { InFlight } from '../media/in-flight.ts'
import { recordMedia } from '../media/recording.ts'
import type { UploadDeps } from '../media/upload.ts'
import { finishUpload, type UploadRow } from './queries.ts'

type Finishing = { row: UploadRow; upload: PendingUpload; inFlight: InFlight }

/** Makes an upload of which all has arrived a file. May be repeated, also after half of it; the upload must be held. */
export async function finish(deps: UploadDeps, caller: Caller, { row, upload, inFlight }: Finishing): Promise<void> {
  const { size, sha256 } = await upload.complete()
  const contentType = await detectContentType(await readHead(deps, row))
  await inFlight.assert()
  const stored = { key: row.objectKey, size, sha256 }
  // What it takes was set aside when it began: no quota is asked again.
  const counted = { ...deps, quotas: { person: undefined, server: undefined } }
  const { id, filename } = row
  await recordMedia(counted, caller, { id, filename, contentType, stored }, async (tx) => {
    await finishUpload(tx, row, deps.clock.now())
  })
}

async function readHead({ objects }: UploadDeps, { objectKey, size }: UploadRow): Promise<Uint8Array> {
  if (size === 0) return new Uint8Array()
  const { body } = await objects.get(objectKey, { range: { start: 0, end: HEAD_BYTES - 1 } })
  return new Response(body).bytes()
}
