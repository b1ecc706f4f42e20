import { counter, histogram, traced } from '@conntext/kernel'
import { ObjectNotFound } from './errors.ts'
import type { ObjectStore, PendingUpload } from './object-store.ts'

const durations = histogram(
  'conntext_media_store_seconds',
  'Time until the object store answered; of a read, until its first byte',
  ['operation'],
)
const failures = counter('conntext_media_store_failures_total', 'What the object store failed at', ['operation'])

/** The same store, with what is asked of it timed and counted. */
export function metered(objects: ObjectStore): ObjectStore {
  const { file } = objects
  return {
    put: (...given) => measured('put', () => objects.put(...given)),
    get: (...given) => measured('get', () => objects.get(...given)),
    ...(file && { file: (key: string) => measured('file', () => objects.file!(key)) }),
    head: (key) => measured('head', () => objects.head(key)),
    delete: (key) => measured('delete', () => objects.delete(key)),
    list: (options) => measured('list', () => objects.list(options)),
    beginUpload: (key) => measured('beginUpload', () => objects.beginUpload(key)),
    openUpload: (address) => meteredUpload(objects.openUpload(address)),
    listUploads: () => objects.listUploads(),
    sweepTemporary: (olderThanMs) => measured('sweep', () => objects.sweepTemporary(olderThanMs)),
    check: () => measured('check', () => objects.check()),
  }
}

const meteredUpload = (upload: PendingUpload): PendingUpload => ({
  offset: () => measured('offset', () => upload.offset()),
  append: (...given) => measured('append', () => upload.append(...given)),
  complete: () => measured('complete', () => upload.complete()),
  abort: () => measured('abort', () => upload.abort()),
})

const measured = <T>(operation: string, work: () => Promise<T>): Promise<T> =>
  traced(`media store ${operation}`, { kind: 'client' }, async () => {
    const began = performance.now()
    try {
      return await work()
    } catch (error) {
      // That there is no such object is an answer.
      if (!(error instanceof ObjectNotFound)) failures.add(1, operation)
      throw error
    } finally {
      durations.observe((performance.now() - began) / 1000, operation)
    }
  })
