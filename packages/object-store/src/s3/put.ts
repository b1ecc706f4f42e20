import { createHash } from 'node:crypto'
import { chunksOf } from '../body.ts'
import { ObjectTooLarge } from '../errors.ts'
import type { PutOptions, StoredObject } from '../object-store.ts'
import { abortMultipart, type Bucket, beginMultipart, completeMultipart, putWhole, uploadPart } from './bucket.ts'
import { PartWriter } from './part-writer.ts'

/**
 * Stores a body: what is shorter than a part in one request, anything longer as a multipart upload. Not through the
 * client's `putObject`: that goes on with whatever unfinished upload it finds under the key, so that two at once mix.
 */
export async function putObject(
  bucket: Bucket,
  key: string,
  body: ReadableStream<Uint8Array> | Uint8Array,
  { maxBytes = Number.POSITIVE_INFINITY, signal }: PutOptions,
): Promise<StoredObject> {
  signal?.throwIfAborted()
  if (body instanceof Uint8Array && body.byteLength > maxBytes) throw new ObjectTooLarge(maxBytes)
  // Ends everything at once: the caller's leaving, a part that could not be sent, a source that failed.
  const stop = new AbortController()
  const onAbort = () => stop.abort(signal!.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const upload = new Upload(bucket, key, stop)
  const hash = createHash('sha256')
  let size = 0
  try {
    for await (const chunk of chunksOf(body, stop.signal)) {
      size += chunk.byteLength
      if (size > maxBytes) throw new ObjectTooLarge(maxBytes)
      hash.update(chunk)
      await upload.writer.write(chunk)
    }
    return { size, sha256: hash.digest('hex'), etag: await upload.finish() }
  } catch (error) {
    stop.abort(error)
    await upload.giveUp()
    // A part that failed ends the source with its error, or the other way round.
    throw stop.signal.reason
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

/** Becomes a multipart upload with the first part that is full. */
class Upload {
  readonly writer: PartWriter
  #uploadId: string | undefined
  readonly #parts: { part: number; etag: string }[] = []

  constructor(
    private readonly bucket: Bucket,
    private readonly key: string,
    private readonly stop: AbortController,
  ) {
    this.writer = new PartWriter(
      (part) => this.#send(part),
      (error) => stop.abort(error),
    )
  }

  async #send(bytes: Buffer): Promise<void> {
    const { bucket, key, stop } = this
    this.#uploadId ??= await beginMultipart(bucket, key, stop)
    bucket.running.add(this.#uploadId)
    const upload = { key, uploadId: this.#uploadId, part: this.#parts.length + 1 }
    this.#parts.push(await uploadPart(bucket, upload, bytes, stop))
  }

  /** Answers the object's etag. */
  async finish(): Promise<string> {
    const { bucket, key, writer } = this
    await writer.flush()
    if (this.#uploadId === undefined) return putWhole(bucket, key, writer.rest())
    if (writer.rest().length > 0) await writer.sendRest()
    await writer.flush()
    const etag = await completeMultipart(bucket, { key, uploadId: this.#uploadId }, this.#parts)
    bucket.running.delete(this.#uploadId)
    return etag
  }

  /** What can't be removed now is swept later. */
  async giveUp(): Promise<void> {
    await this.writer.flush().catch(() => {})
    if (this.#uploadId === undefined) return
    await abortMultipart(this.bucket, { key: this.key, uploadId: this.#uploadId }).catch(() => {})
    this.bucket.running.delete(this.#uploadId)
  }
}
