import type { Communications } from '@conntext/db-communications'
import type { ObjectStore } from '@conntext/object-store'
import type { Deliver } from '@conntext/outbox'
import { sql } from 'drizzle-orm'
import { UPLOAD_ABORT, type UploadAbort } from '../uploads/queries.ts'
import { collectObjects, OBJECT_DELETION, OBJECT_RELEASE, type ObjectDeletion, type ObjectRelease } from './removal.ts'

type Dependencies = { db: Communications; objects: ObjectStore; nudge: () => void }

/** What is owed to the object store, by topic of the outbox. */
export const mediaTopics = ({ db, objects, nudge }: Dependencies): Record<string, Deliver> => ({
  async [OBJECT_RELEASE](batch) {
    await collectObjects(
      db,
      batch.map(({ payload }) => (payload as ObjectRelease).objectId),
    )
    nudge()
  },
  async [OBJECT_DELETION](batch) {
    await db.transaction(async (tx) => {
      // A backup that is about to copy what its rows name asks for them to stay, for some seconds.
      await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended('backup.objects', 0))`)
      for (const { payload } of batch) await objects.delete((payload as ObjectDeletion).key)
    })
  },
  async [UPLOAD_ABORT](batch) {
    for (const { payload } of batch) {
      const address = payload as UploadAbort
      await objects.openUpload(address).abort()
      // All of it may have been there, and become no file.
      await objects.delete(address.key)
    }
  },
})
