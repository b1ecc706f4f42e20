import { dependencyErrors } from '@conntext/http'
import { type ObjectStore, ObjectStoreUnavailable, type PendingUpload } from '@conntext/object-store'

/** The same store, but that it is away is told as such: `dependency.away` (503). */
export function tellingAway(objects: ObjectStore): ObjectStore {
  const { file } = objects
  return {
    put: (...given) => tell(() => objects.put(...given)),
    get: (...given) => tell(() => objects.get(...given)),
    ...(file && { file: (key: string) => tell(() => objects.file!(key)) }),
    head: (key) => tell(() => objects.head(key)),
    delete: (key) => tell(() => objects.delete(key)),
    list: (options) => tell(() => objects.list(options)),
    beginUpload: (key) => tell(() => objects.beginUpload(key)),
    openUpload: (address) => uploadTellingAway(objects.openUpload(address)),
    listUploads: () => objects.listUploads(),
    sweepTemporary: (olderThanMs) => tell(() => objects.sweepTemporary(olderThanMs)),
    check: () => tell(() => objects.check()),
  }
}

const uploadTellingAway = (upload: PendingUpload): PendingUpload => ({
  offset: () => tell(() => upload.offset()),
  append: (...given) => tell(() => upload.append(...given)),
  complete: () => tell(() => upload.complete()),
  abort: () => tell(() => upload.abort()),
})

async function tell<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (!(error instanceof ObjectStoreUnavailable)) throw error
    throw dependencyErrors.away({ detail: 'The object store is away for the moment.', retryAfter: 1, cause: error })
  }
}
