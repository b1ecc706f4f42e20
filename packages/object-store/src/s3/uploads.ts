import { createHash } from 'node:crypto'
import { chunksOf } from '../body.ts'
import { ObjectNotFound, ObjectTooLarge, WrongOffset } from '../errors.ts'
import { assertKey } from '../keys.ts'
import type { AppendOptions, PendingUpload, StoredObject, UploadAddress } from '../object-store.ts'
import {
  abortMultipart,
  type Bucket,
  beginMultipart,
  completeMultipart,
  headObject,
  listObjects,
  listParts,
  putWhole,
  removeObject,
  uploadPart,
} from './bucket.ts'
import { isAnswer } from './errors.ts'
import { getObject } from './get.ts'
import { PartWriter } from './part-writer.ts'

// A multipart upload takes small parts only as the last. So what has been gathered for the next part is kept beside it,
// in an object that is there from begin to end: it also tells these uploads from those that an interrupted `put` left.
const prefix = '+upload/'
// The number of parts that the rest comes after. With more there, it is in one of them already.
const afterHeader = 'x-amz-meta-after'
const handlePattern = /^[\w~=+-][\w.~=+-]{0,399}$/

export const restKey = ({ key, handle }: UploadAddress): string => `${prefix}${key}/${encodeURIComponent(handle)}`

export async function beginUpload(bucket: Bucket, key: string): Promise<string> {
  assertKey(key)
  const handle = await beginMultipart(bucket, key)
  await writeRest(bucket, { key, handle }, Buffer.alloc(0), 0)
  return handle
}

export async function* listUploads(bucket: Bucket): AsyncGenerator<UploadAddress & { lastModified: Date }> {
  let after: string | undefined = ''
  while (after !== undefined) {
    const { objects, more }: Awaited<ReturnType<typeof listObjects>> = await listObjects(bucket, {
      prefix,
      after,
      limit: 1000,
    })
    for (const { key: name, lastModified } of objects) {
      const slash = name.lastIndexOf('/')
      yield { key: name.slice(prefix.length, slash), handle: decodeURIComponent(name.slice(slash + 1)), lastModified }
    }
    after = more ? objects.at(-1)?.key : undefined
  }
}

async function writeRest(bucket: Bucket, address: UploadAddress, rest: Buffer, after: number): Promise<void> {
  await putWhole(bucket, restKey(address), rest, { [afterHeader]: String(after) })
}

/** What of an upload is in the store. */
interface Standing {
  parts: { part: number; etag: string }[]
  /** Of the rest that comes after them. */
  restBytes: number
  offset: number
}

export class S3Upload implements PendingUpload {
  readonly #upload: { key: string; uploadId: string }

  constructor(
    private readonly bucket: Bucket,
    private readonly address: UploadAddress,
  ) {
    assertKey(address.key)
    this.#upload = { key: address.key, uploadId: address.handle }
  }

  async offset(): Promise<number> {
    const standing = await this.#standing()
    return standing ? standing.offset : (await headObject(this.bucket, this.address.key)).size
  }

  async append(
    body: ReadableStream<Uint8Array> | Uint8Array,
    { at, maxBytes = Number.POSITIVE_INFINITY, signal }: AppendOptions,
  ): Promise<number> {
    const standing = await this.#standing()
    if (!standing) throw new ObjectNotFound(this.address.key)
    if (standing.offset !== at) throw new WrongOffset(standing.offset)
    let sent = standing.parts.length
    // Ends the reading alone: what has arrived is sent all the same.
    const stop = new AbortController()
    const onAbort = () => stop.abort(signal!.reason)
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    const send = async (part: Buffer) => {
      await uploadPart(this.bucket, { ...this.#upload, part: sent + 1 }, part)
      sent += 1
    }
    const writer = new PartWriter(send, (error) => stop.abort(error))
    await writer.write(await this.#rest(standing))
    let position = at
    try {
      for await (const chunk of chunksOf(body, stop.signal)) {
        const fitting = chunk.subarray(0, at + maxBytes - position)
        await writer.write(fitting)
        position += fitting.byteLength
        if (fitting.byteLength < chunk.byteLength) throw new ObjectTooLarge(maxBytes)
      }
      return position
    } finally {
      signal?.removeEventListener('abort', onAbort)
      await writer.flush()
      await writeRest(this.bucket, this.address, writer.rest(), sent)
    }
  }

  async complete(): Promise<StoredObject> {
    const { bucket, address } = this
    const standing = await this.#standing()
    if (standing?.offset === 0) {
      await putWhole(bucket, address.key, Buffer.alloc(0))
    } else if (standing) {
      const { parts, restBytes } = standing
      const part = { ...this.#upload, part: parts.length + 1 }
      if (restBytes > 0) parts.push(await uploadPart(bucket, part, await this.#rest(standing)))
      await completeMultipart(bucket, this.#upload, parts)
    }
    const { size, etag, body } = await getObject(bucket, address.key, undefined)
    const hash = createHash('sha256')
    for await (const chunk of body) hash.update(chunk)
    await this.abort()
    return { size, sha256: hash.digest('hex'), etag }
  }

  async abort(): Promise<void> {
    if (!handlePattern.test(this.address.handle)) return
    await abortMultipart(this.bucket, this.#upload)
    // Last, since by it the upload is found.
    await removeObject(this.bucket, restKey(this.address))
  }

  /** Nothing where there is no such upload, or it has become the object. */
  async #standing(): Promise<Standing | undefined> {
    if (!handlePattern.test(this.address.handle)) return undefined
    const { name, connection, limits } = this.bucket
    try {
      const rest = await connection.call({ withinMs: limits.answerMs }, (client) =>
        client.statObject(name, restKey(this.address)),
      )
      const parts = await listParts(this.bucket, this.#upload)
      const restBytes = Number(rest.metaData.after) === parts.length ? rest.size : 0
      const offset = parts.reduce((sum, { size }) => sum + size, restBytes)
      return { parts: parts.map(({ part, etag }) => ({ part, etag })), restBytes, offset }
    } catch (error) {
      if (isAnswer(error, 'NoSuchUpload', 'NoSuchKey', 'NotFound')) return undefined
      throw error
    }
  }

  async #rest({ restBytes }: Standing): Promise<Buffer> {
    if (restBytes === 0) return Buffer.alloc(0)
    const { body } = await getObject(this.bucket, restKey(this.address), undefined)
    return Buffer.from(await new Response(body).arrayBuffer())
  }
}
