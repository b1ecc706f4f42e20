import { ObjectStoreUnavailable } from '../errors.ts'
import { assertKey, assertPrefix } from '../keys.ts'
import type { ListOptions, ObjectPage, ObjectStore } from '../object-store.ts'
import { type Bucket, headObject, listObjects, removeObject } from './bucket.ts'
import { connect } from './connection.ts'
import { asRefusal, isAnswer } from './errors.ts'
import { getObject } from './get.ts'
import { putObject } from './put.ts'
import { sweepUploads } from './sweep.ts'
import { beginUpload, listUploads, S3Upload } from './uploads.ts'

export interface S3Options {
  /** Such as `https://s3.example.org` or `http://127.0.0.1:9000`; without a path. */
  endpoint: string
  /** Default `us-east-1`, which stores without regions take. */
  region?: string
  /** For this store alone. Made if missing. */
  bucket: string
  accessKey: string
  secretKey: string
  /** Names the bucket in the path instead of the host, as self-hosted stores want it. Default true. */
  pathStyle?: boolean
  /**
   * Milliseconds within which the store must answer, and go on sending while it is read from. Storing a part may take
   * four times, joining the parts ten times as long. Default 30,000.
   */
  timeoutMs?: number
}

const maxPage = 1000
// "+" comes before every character of a key, and "~" after all of them: what is kept under a plus is no object of
// anybody's, and a listing that starts behind it doesn't show it.
const probePrefix = '+check/'
const lastProbe = '+~'

/**
 * An object store in a bucket of any server that speaks S3. Throws `ObjectStoreRefused` when the credentials, the bucket
 * or the region won't do, `ObjectStoreUnavailable` when the server can't be reached or doesn't answer as one.
 */
export async function openS3Store({ timeoutMs = 30_000, ...options }: S3Options): Promise<ObjectStore> {
  const { region = 'us-east-1', pathStyle = true, bucket: name, endpoint, accessKey, secretKey } = options
  const connection = connect({ endpoint, region, accessKey, secretKey, pathStyle })
  const limits = { answerMs: timeoutMs, transferMs: 4 * timeoutMs, completeMs: 10 * timeoutMs }
  const bucket: Bucket = { name, connection, limits, running: new Set() }
  await openBucket(bucket, region).catch((error) => {
    throw asRefusal(error)
  })
  return {
    async put(key, body, putOptions = {}) {
      assertKey(key)
      return putObject(bucket, key, body, putOptions)
    },
    async get(key, { range } = {}) {
      assertKey(key)
      return getObject(bucket, key, range)
    },
    async head(key) {
      assertKey(key)
      return headObject(bucket, key)
    },
    async delete(key) {
      assertKey(key)
      return removeObject(bucket, key)
    },
    list: (listOptions = {}) => list(bucket, listOptions),
    beginUpload: (key) => beginUpload(bucket, key),
    openUpload: (address) => new S3Upload(bucket, address),
    listUploads: () => listUploads(bucket),
    sweepTemporary: async (olderThanMs) =>
      (await sweepUploads(bucket, olderThanMs)) + (await sweepProbes(bucket, olderThanMs)),
    check: () => check(bucket),
  }
}

/** A listing, unlike a look at the bucket itself, is answered with the reason when it is refused. */
async function openBucket(bucket: Bucket, region: string): Promise<void> {
  const { name, connection, limits } = bucket
  try {
    await listObjects(bucket, { prefix: '', after: lastProbe, limit: 1 })
  } catch (error) {
    if (!isAnswer(error, 'NoSuchBucket')) throw error
    await connection
      .call({ withinMs: limits.answerMs }, (client) => client.makeBucket(name, region))
      .catch((failure) => {
        // Another instance was quicker.
        if (!isAnswer(failure, 'BucketAlreadyOwnedByYou')) throw failure
      })
  }
}

async function list(bucket: Bucket, { prefix = '', cursor, limit = maxPage }: ListOptions): Promise<ObjectPage> {
  assertPrefix(prefix)
  const wanted = Math.min(Math.max(1, Math.trunc(limit)), maxPage)
  const after = cursor !== undefined && cursor > lastProbe ? cursor : lastProbe
  const { objects, more } = await listObjects(bucket, { prefix, after, limit: wanted })
  const last = objects.at(-1)
  return more && last ? { objects, cursor: last.key } : { objects }
}

async function check(bucket: Bucket): Promise<void> {
  const key = `${probePrefix}${crypto.randomUUID()}`
  const probe = crypto.getRandomValues(new Uint8Array(64))
  try {
    await putObject(bucket, key, probe, {})
    const { body } = await getObject(bucket, key, undefined)
    const back = await new Response(body).bytes()
    if (Buffer.compare(back, probe) !== 0) {
      throw new ObjectStoreUnavailable('The object store returned other bytes than were stored')
    }
  } finally {
    await removeObject(bucket, key)
  }
}

/** Probes whose process ended before it could remove them. */
async function sweepProbes(bucket: Bucket, olderThanMs: number): Promise<number> {
  const { objects } = await listObjects(bucket, { prefix: probePrefix, after: '', limit: maxPage })
  const old = objects.filter(({ lastModified }) => lastModified.getTime() <= Date.now() - olderThanMs)
  for (const { key } of old) await removeObject(bucket, key)
  return old.length
}
