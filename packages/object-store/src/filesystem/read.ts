import type { FileHandle } from 'node:fs/promises'
import { RangeNotSatisfiable } from '../errors.ts'
import type { ByteRange } from '../object-store.ts'

const chunkBytes = 128 * 1024

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
  file: FileHandle,
  range: { start: number; end: number } | undefined,
): ReadableStream<Uint8Array> {
  let position = range?.start ?? 0
  const stop = range ? range.end + 1 : 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (position < stop) {
            const chunk = new Uint8Array(Math.min(chunkBytes, stop - position))
            const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, position)
            if (bytesRead === 0) throw new Error('The object became shorter while it was read')
            position += bytesRead
            controller.enqueue(bytesRead === chunk.byteLength ? chunk : chunk.subarray(0, bytesRead))
          }
          if (position >= stop) {
            await file.close()
            controller.close()
          }
        } catch (error) {
          await file.close().catch(() => {})
          throw error
        }
      },
      async cancel() {
        await file.close()
      },
    },
    // Nothing is read ahead of the consumer.
    { highWaterMark: 0 },
  )
}
