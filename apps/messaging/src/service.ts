import type { Bus } from '@conntext/bus'
import type { AuditEvent, SystemPort } from '@conntext/contracts'
import { type Communications, messagingOutbox } from '@conntext/db-communications'
import { baseApp, type Guard, noteAccess, RefusalLog, type Service } from '@conntext/http'
import { type Clock, type Logger, systemClock } from '@conntext/kernel'
import type { ObjectStore } from '@conntext/object-store'
import { OutboxRelay } from '@conntext/outbox'
import { messagingAudit, recordAudit } from './audit.ts'
import {
  collectObjects,
  OBJECT_DELETION,
  OBJECT_RELEASE,
  type ObjectDeletion,
  type ObjectRelease,
} from './media/removal.ts'
import { mediaRoutes, RAW_BODIES } from './media/routes.ts'
import type { Quotas } from './media/usage.ts'
import { messageRoutes } from './messages/routes.ts'
import { Sender } from './messages/send.ts'
import { createPort } from './port.ts'
import { Pruning } from './pruning.ts'
import { Publication } from './streams/publication.ts'
import { createStreamWriter } from './streams/writer.ts'
import { Leases } from './uploads/lease.ts'
import { UPLOAD_ABORT, type UploadAbort } from './uploads/queries.ts'
import { uploadRoutes } from './uploads/routes.ts'

// A running upload keeps its file's time fresh with every chunk.
const ABANDONED_MS = 3_600_000

export type MessagingDeps = {
  /** Opened as `conntext_messaging`. */
  db: Communications
  objects: ObjectStore
  bus: Bus
  log: Logger
  clock?: Clock
  guard: Guard
  system: Pick<SystemPort, 'ingestAudit'>
  /** How much may be stored; as much as there is room for unless told. */
  quotas?: Quotas
  /** What other services show to use the port. */
  credential: string
}

/** Messages and media. */
export function createMessagingService(given: MessagingDeps): Service {
  const deps = { clock: systemClock, quotas: { person: undefined, server: undefined }, ...given }
  const { db, objects, bus, log, system } = deps
  const relay = new OutboxRelay({
    db,
    table: messagingOutbox,
    log,
    // ClickHouse acknowledges before its files are on the disk.
    repeatAtStart: ['audit'],
    topics: {
      audit: async (batch) => {
        await system.ingestAudit({ events: batch.map((entry) => entry.payload as AuditEvent) })
      },
      [OBJECT_RELEASE]: async (batch) => {
        await collectObjects(
          db,
          batch.map(({ payload }) => (payload as ObjectRelease).objectId),
        )
        nudge()
      },
      [UPLOAD_ABORT]: async (batch) => {
        for (const { payload } of batch) {
          const address = payload as UploadAbort
          await objects.openUpload(address).abort()
          // All of it may have been there, and become no file.
          await objects.delete(address.key)
        }
      },
      [OBJECT_DELETION]: async (batch) => {
        for (const { payload } of batch) await objects.delete((payload as ObjectDeletion).key)
      },
    },
  })
  const nudge = () => relay.nudge()
  const publication = new Publication(bus, log)
  const write = createStreamWriter(db, publication)
  const refusals = new RefusalLog({
    ...deps,
    async record(event) {
      await recordAudit(db, [event])
      nudge()
    },
  })
  const refused = noteAccess(refusals, messagingAudit)
  const pruning = new Pruning(deps)
  const sender = new Sender({ ...deps, write, refused })
  const shared = { ...deps, leases: new Leases(deps), write, sender, refused, nudge }
  const routeDeps = { ...shared, access: { guard: deps.guard, refused } }

  return {
    name: 'messaging',
    app: baseApp({ log, rawBodies: RAW_BODIES })
      .use(messageRoutes(routeDeps))
      .use(mediaRoutes(routeDeps))
      .use(uploadRoutes(routeDeps)),
    port: createPort({ ...shared, relay }, deps.credential),
    async start() {
      await objects
        .sweepTemporary(ABANDONED_MS)
        .catch((error) => log.warn({ err: error }, 'abandoned uploads could not be swept'))
      relay.start()
      refusals.start()
      pruning.start()
    },
    async stop() {
      await sender.close()
      await Promise.all([publication.settled(), refusals.stop(), pruning.stop()])
      await relay.stop({ flush: true })
    },
  }
}
