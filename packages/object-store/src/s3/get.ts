import type { IncomingMessage } from 'node:http'
import { answerWithin } from '@conntext/kernel'
import { ObjectNotFound, ObjectStoreUnavailable, RangeNotSatisfiable } from '../errors.ts'
import type { ByteRange, ObjectBody } from '../object-store.ts'
import { withoutQuotes } from './answers.ts'
import { type Bucket, headObject } from './bucket.ts'
import { isAnswer } from './errors.ts'

export async function getObject(bucket: Bucket, key: string, range: ByteRange | undefined): Promise<ObjectBody> {
  const notSatisfiable = async () => new RangeNotSatisfiable((await headObject(bucket, key)).size)
  if (range && !isSound(range)) throw await notSatisfiable()
  const stop = new AbortController()
  const response = await open(bucket, key, range, stop).catch(async (error) => {
    if (isAnswer(error, 'NoSuchKey', 'NotFound')) throw new ObjectNotFound(key)
    throw isAnswer(error, 'InvalidRange') ? await notSatisfiable() : error
  })
  try {
    const { size, part } = partIn(response, range)
    if (range && !part) throw new RangeNotSatisfiable(size)
    const contentLength = part ? part.end - part.start + 1 : 0
    return {
      key,
      size,
      etag: withoutQuotes(response.headers.etag),
      lastModified: new Date(response.headers['last-modified'] ?? 0),
      range: part,
      contentLength,
      body: streamResponse(response, { stop, contentLength, withinMs: bucket.limits.answerMs }),
    }
  } catch (error) {
    stop.abort(error)
    throw error
  }
}

const isSound = ({ start, end = start }: ByteRange): boolean =>
  Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start

function open({ name, connection, limits }: Bucket, key: string, range: ByteRange | undefined, stop: AbortController) {
  const { start = 0, end } = range ?? {}
  // The client takes a length of 0 for "to the end".
  const length = end === undefined ? 0 : end - start + 1
  return connection.call(
    { withinMs: limits.answerMs, stop },
    (client) => client.getPartialObject(name, key, start, length) as Promise<IncomingMessage>,
  )
}

/** The object's size, and which part of it the answer carries. */
function partIn({ headers, statusCode }: IncomingMessage, range: ByteRange | undefined) {
  if (statusCode !== 206) {
    const size = Number(headers['content-length'])
    if (!Number.isSafeInteger(size)) throw new ObjectStoreUnavailable("The object store doesn't tell an object's size")
    if (range?.start || range?.end !== undefined) throw new ObjectStoreUnavailable('The object store ignores ranges')
    return { size, part: size === 0 ? undefined : { start: 0, end: size - 1 } }
  }
  const [, start, end, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
  if (size === undefined) throw new ObjectStoreUnavailable('The object store answered a part without saying which')
  return { size: Number(size), part: { start: Number(start), end: Number(end) } }
}

/** Ends the requests behind streams that were neither read to their end nor cancelled. */
const abandoned = new FinalizationRegistry<AbortController>((stop) => stop.abort())

/** The answer's body, read as the consumer asks for it. A store that falls silent for too long, or stops early, fails it. */
function streamResponse(
  response: IncomingMessage,
  { stop, contentLength, withinMs }: { stop: AbortController; contentLength: number; withinMs: number },
): ReadableStream<Uint8Array> {
  const chunks = response[Symbol.asyncIterator]()
  let left = contentLength
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await answerWithin(withinMs, () => chunks.next())
          if (!done) {
            left -= value.byteLength
            return controller.enqueue(value)
          }
        } catch (error) {
          stop.abort(error)
          throw new ObjectStoreUnavailable('The object store broke off in an object', { cause: error })
        }
        if (left !== 0) throw new ObjectStoreUnavailable('The object store sent another length than it said')
        controller.close()
      },
      cancel() {
        stop.abort()
        response.destroy()
      },
    },
    // Nothing is read ahead of the consumer.
    { highWaterMark: 0 },
  )
  abandoned.register(stream, stop)
  return stream
}
