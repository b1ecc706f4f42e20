import { stringify } from 'node:querystring'
import { ObjectNotFound } from '../errors.ts'
import { readUploads, type Upload } from './answers.ts'
import { abortMultipart, type Bucket, headObject, listParts } from './bucket.ts'
import { isAnswer } from './errors.ts'
import { restKey } from './uploads.ts'

/** Every multipart upload of the bucket that isn't finished. */
async function* unfinished({ name, connection, limits }: Bucket): AsyncGenerator<Upload, void, void> {
  let marker: Record<string, string> | undefined = {}
  while (marker) {
    // Its place is at the front, where the signature expects it.
    const query: string = `uploads&${stringify({ 'max-uploads': '1000', ...marker })}`
    const page: Awaited<ReturnType<typeof readUploads>> = await connection.call(
      { withinMs: limits.answerMs },
      async (client) => readUploads(await client.makeRequestAsync({ method: 'GET', bucketName: name, query })),
    )
    yield* page.uploads
    marker = page.next
  }
}

/**
 * Removes what interrupted `put`s have left, where nothing has arrived for so long: not those of this process, and not
 * the uploads that were begun to arrive in parts.
 */
export async function sweepUploads(bucket: Bucket, olderThanMs: number): Promise<number> {
  const limit = Date.now() - olderThanMs
  let removed = 0
  for await (const upload of unfinished(bucket)) {
    if (upload.initiated.getTime() > limit || bucket.running.has(upload.uploadId)) continue
    if (await isWanted(bucket, upload, limit)) continue
    await abortMultipart(bucket, upload)
    removed++
  }
  return removed
}

async function isWanted(bucket: Bucket, upload: Upload, limit: number): Promise<boolean> {
  try {
    await headObject(bucket, restKey({ key: upload.key, handle: upload.uploadId }))
    return true
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error
  }
  try {
    const parts = await listParts(bucket, upload)
    return parts.some(({ lastModified }) => lastModified.getTime() > limit)
  } catch (error) {
    // Finished, or swept by another instance, meanwhile.
    if (isAnswer(error, 'NoSuchUpload', 'NoSuchKey', 'NotFound')) return true
    throw error
  }
}
