import { close, open, read } from 'node:fs'
import { promisify } from 'node:util'
import { RangeNotSatisfiable } from '../errors.ts'
import type { ByteRange } from '../object-store.ts'

const chunkBytes = 128 * 1024
const openFile = promisify(open)
const closeFile = promisify(close)
const readFile = promisify(read)

/** A file open for reading, which is closed once however often it is asked to be. */
export interface OpenFile {
  readonly descriptor: number
  close(): Promise<void>
}

export async function openForReading(path: string): Promise<OpenFile> {
  const descriptor = await openFile(path, 'r')
  let closed: Promise<void> | undefined
  return {
    descriptor,
    close() {
      closed ??= closeFile(descriptor)
      return closed
    },
  }
}

/**
 * Closes the files of streams that were neither read to their end nor cancelled: a body that somebody dropped must not
 * use up descriptors. (A `FileHandle` in its place would throw out of the garbage collector and end the process.)
 */
const abandoned = new FinalizationRegistry<OpenFile>((file) => {
  file.close().catch(() => {})
})

/** The part of an object of `size` bytes that a range means. `RangeNotSatisfiable` when it starts past the end. */
export function resolveRange(range: ByteRange | undefined, size: number): { start: number; end: number } | undefined {
  if (!range) return size === 0 ? undefined : { start: 0, end: size - 1 }
  const { start, end = size - 1 } = range
  const sound = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0
  if (!sound || start >= size || end < start) throw new RangeNotSatisfiable(size)
  return { start, end: Math.min(end, size - 1) }
}

/** Reads `start` to `end` as the consumer asks for it; closes the file at the end, on an error and when cancelled. */
export function streamFile(
  file: OpenFile,
  range: { start: number; end: number } | undefined,
): ReadableStream<Uint8Array> {
  let position = range?.start ?? 0
  const stop = range ? range.end + 1 : 0
  let reading: Promise<unknown> = Promise.resolve()
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    if (position < stop) {
      const chunk = new Uint8Array(Math.min(chunkBytes, stop - position))
      const { bytesRead } = await readFile(file.descriptor, chunk, 0, chunk.byteLength, position)
      if (bytesRead === 0) throw new Error('The object became shorter while it was read')
      position += bytesRead
      controller.enqueue(bytesRead === chunk.byteLength ? chunk : chunk.subarray(0, bytesRead))
    }
    if (position < stop) return
    await file.close()
    controller.close()
  }
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const pulled = pull(controller).catch(async (error) => {
          await file.close()
          throw error
        })
        reading = pulled.catch(() => {})
        return pulled
      },
      async cancel() {
        // The number of a closed descriptor is soon somebody else's: nothing may still be reading from it.
        await reading
        await file.close()
      },
    },
    // Nothing is read ahead of the consumer.
    { highWaterMark: 0 },
  )
  abandoned.register(stream, file)
  return stream
}
