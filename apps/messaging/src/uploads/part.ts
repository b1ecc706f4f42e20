import { createHash } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mediaErrors } from '../media/errors.ts'
import { uploadErrors } from './errors.ts'
import type { Checksum } from './protocol.ts'

/** A part with a checksum is kept aside until it is known to be whole, hence is no larger. */
const MOST_CHECKED = 64 * 1024 * 1024

type Part = ReadableStream<Uint8Array>

/**
 * Gives a part on only once all of it has arrived as it was sent.
 * @throws upload.checksumMismatch (460), media.tooLarge (413)
 */
export async function withChecked<T>(
  body: Part,
  { algorithm, digest }: Checksum,
  signal: AbortSignal,
  use: (part: Part) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'conntext-part-'))
  try {
    const path = join(directory, 'part')
    const hash = createHash(algorithm)
    await spool(body, path, signal, (chunk) => hash.update(chunk))
    if (!hash.digest().equals(digest)) throw uploadErrors.checksumMismatch()
    return await use(Bun.file(path).stream())
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function spool(body: Part, path: string, signal: AbortSignal, see: (chunk: Uint8Array) => void): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  const reader = body.getReader()
  const onAbort = () => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    let size = 0
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      size += read.value.byteLength
      if (size > MOST_CHECKED) {
        throw mediaErrors.tooLarge(`A part with a checksum has at most ${MOST_CHECKED} bytes.`)
      }
      see(read.value)
      await file.writeFile(read.value)
    }
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', onAbort)
    reader.cancel().catch(() => {})
  }
}
