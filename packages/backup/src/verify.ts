import type { Secret } from './encryption.ts'
import { BackupError } from './errors.ts'
import type { BackupHeader, BackupManifest, BackupSnapshot } from './format.ts'
import { readBackup } from './reading.ts'

export type VerifiedBackup = { header: BackupHeader; snapshot: BackupSnapshot; manifest: BackupManifest }

/** Reads all of a backup: decrypts and unpacks it, and compares every part with its hash. @throws BackupError */
export async function verifyBackup(sealed: ReadableStream<Uint8Array>, secret: Secret): Promise<VerifiedBackup> {
  const found: Partial<VerifiedBackup> = {}
  for await (const item of readBackup(sealed, secret)) {
    if (item.kind === 'header') found.header = item.header
    else if (item.kind === 'snapshot') found.snapshot = item.snapshot
    else if (item.kind === 'manifest') found.manifest = item.manifest
  }
  const { header, snapshot, manifest } = found
  if (!header || !snapshot || !manifest || header.id !== manifest.id) {
    throw new BackupError('This backup is not whole: it does not say what it is.')
  }
  return { header, snapshot, manifest }
}

/** Counts the bytes that pass, of a file whose length is known. */
export const counted = (body: ReadableStream<Uint8Array>, told: (bytes: number) => void): ReadableStream<Uint8Array> =>
  body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        told(chunk.length)
        controller.enqueue(chunk)
      },
    }),
  )
