import { stringify } from 'node:querystring'
import { ObjectNotFound } from '../errors.ts'
import type { ObjectInfo } from '../object-store.ts'
import { type PartInfo, readObjects, readParts, withoutQuotes } from './answers.ts'
import type { Connection } from './connection.ts'
import { isAnswer } from './errors.ts'

/** What all calls need. */
export interface Bucket {
  name: string
  connection: Connection
  limits: { answerMs: number; transferMs: number; completeMs: number }
  /** Ids of the multipart uploads that this process's `put`s have under way. */
  running: Set<string>
}

export interface Multipart {
  key: string
  uploadId: string
}

const binary = { 'content-type': 'application/octet-stream' }

export async function headObject({ name, connection, limits }: Bucket, key: string): Promise<ObjectInfo> {
  try {
    const { size, etag, lastModified } = await connection.call({ withinMs: limits.answerMs }, (client) =>
      client.statObject(name, key),
    )
    return { key, size, etag, lastModified }
  } catch (error) {
    throw isAnswer(error, 'NoSuchKey', 'NotFound') ? new ObjectNotFound(key) : error
  }
}

export async function removeObject({ name, connection, limits }: Bucket, key: string): Promise<void> {
  try {
    await connection.call({ withinMs: limits.answerMs }, (client) => client.removeObject(name, key))
  } catch (error) {
    if (!isAnswer(error, 'NoSuchKey', 'NotFound')) throw error
  }
}

export function listObjects(
  { name, connection, limits }: Bucket,
  { prefix, after, limit }: { prefix: string; after: string; limit: number },
) {
  const query = stringify({
    'list-type': '2',
    'encoding-type': 'url',
    'max-keys': String(limit),
    prefix,
    'start-after': after,
  })
  return connection.call({ withinMs: limits.answerMs }, async (client) =>
    readObjects(await client.makeRequestAsync({ method: 'GET', bucketName: name, query })),
  )
}

/**
 * Stores an object in one request and answers its etag. Not to be stopped: it is either stored or not, and stopping
 * could not tell which.
 */
export function putWhole(
  { name, connection, limits }: Bucket,
  key: string,
  bytes: Buffer,
  metadata: Record<string, string> = {},
): Promise<string> {
  return connection.call({ withinMs: limits.transferMs }, async (client) => {
    const request = { method: 'PUT', bucketName: name, objectName: key, headers: { ...binary, ...metadata } }
    const { headers } = await client.makeRequestAsyncOmit(request, bytes)
    return withoutQuotes(headers.etag)
  })
}

export function beginMultipart({ name, connection, limits }: Bucket, key: string, stop?: AbortController) {
  return connection.call({ withinMs: limits.answerMs, ...(stop && { stop }) }, (client) =>
    client.initiateNewMultipartUpload(name, key, binary),
  )
}

export async function uploadPart(
  { name, connection, limits }: Bucket,
  { key, uploadId, part }: Multipart & { part: number },
  bytes: Buffer,
  stop?: AbortController,
): Promise<{ part: number; etag: string }> {
  const config = { bucketName: name, objectName: key, uploadID: uploadId, partNumber: part, headers: {} }
  const { etag } = await connection.call({ withinMs: limits.transferMs, ...(stop && { stop }) }, (client) =>
    client.uploadPart(config, bytes),
  )
  return { part, etag }
}

/** The parts that are there, in their order. Fails with the answer `NoSuchUpload`. */
export async function listParts({ name, connection, limits }: Bucket, upload: Multipart): Promise<PartInfo[]> {
  const parts: PartInfo[] = []
  let marker: string | undefined = '0'
  while (marker !== undefined) {
    const query: string = stringify({ 'max-parts': '1000', 'part-number-marker': marker, uploadId: upload.uploadId })
    const page: { parts: PartInfo[]; next: string | undefined } = await connection.call(
      { withinMs: limits.answerMs },
      async (client) =>
        readParts(await client.makeRequestAsync({ method: 'GET', bucketName: name, objectName: upload.key, query })),
    )
    parts.push(...page.parts)
    marker = page.next
  }
  return parts
}

/** Joins the parts into the object, and answers its etag. Not to be stopped, as `putWhole`. */
export async function completeMultipart(
  bucket: Bucket,
  { key, uploadId }: Multipart,
  parts: { part: number; etag: string }[],
): Promise<string> {
  const { name, connection, limits } = bucket
  const { etag } = await connection.call({ withinMs: limits.completeMs }, (client) =>
    client.completeMultipartUpload(name, key, uploadId, parts),
  )
  // Some stores leave it out.
  return withoutQuotes(etag) || (await headObject(bucket, key)).etag
}

/** Nothing happens where there is no such upload. */
export async function abortMultipart({ name, connection, limits }: Bucket, { key, uploadId }: Multipart) {
  try {
    await connection.call({ withinMs: limits.answerMs }, (client) => client.abortMultipartUpload(name, key, uploadId))
  } catch (error) {
    if (!isAnswer(error, 'NoSuchUpload', 'NoSuchKey', 'NotFound')) throw error
  }
}
