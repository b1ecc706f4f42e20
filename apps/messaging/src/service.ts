import type { Bus } from '@conntext/bus'
import type { AuditEvent, AuthPort, ConversationNews, StreamAppend, SystemPort } from '@conntext/contracts'
import { KnownTime } from '@conntext/database'
import { type Communications, messagingKnownTime, messagingOutbox } from '@conntext/db-communications'
import { baseApp, type Guard, noteAccess, RefusalLog, type Service } from '@conntext/http'
import { type Clock, type Logger, type RunningJob, startJob, systemClock } from '@conntext/kernel'
import { metered, type ObjectStore } from '@conntext/object-store'
import { OutboxRelay } from '@conntext/outbox'
import { messagingAudit, recordAudit } from './audit.ts'
import { callRetentionJob, callSettlingJob } from './calls/jobs.ts'
import { callRoutes } from './calls/routes.ts'
import { contactRoutes } from './contacts/routes.ts'
import { CONVERSATION_NEWS, Directory } from './conversations/directory.ts'
import { CONVERSATION_PURGE, type ConversationPurge, purgeConversation } from './conversations/purge.ts'
import { conversationRoutes } from './conversations/routes.ts'
import { PictureQueue } from './images/queue.ts'
import { libraryRoutes } from './library/routes.ts'
import { tellingAway } from './media/objects.ts'
import { mediaRoutes, RAW_BODIES } from './media/routes.ts'
import { orphanSweepJob } from './media/sweep.ts'
import { mediaTopics } from './media/topics.ts'
import type { Quotas } from './media/usage.ts'
import { messageRoutes } from './messages/routes.ts'
import { Sender } from './messages/send.ts'
import { pinRoutes } from './pins/routes.ts'
import { createPort } from './port.ts'
import { pruningJob } from './pruning.ts'
import { reactionRoutes } from './reactions/routes.ts'
import { readRoutes } from './reads/routes.ts'
import { latestOnly } from './reads/service.ts'
import { retentionJob } from './retention/job.ts'
import { SearchIndexer } from './search/indexer.ts'
import { Lanes } from './search/lanes.ts'
import { searchRoutes } from './search/routes.ts'
import { STREAM_EVENT } from './streams/owed.ts'
import { Publication } from './streams/publication.ts'
import { createStreamWriter } from './streams/writer.ts'
import { Leases } from './uploads/lease.ts'
import { uploadRoutes } from './uploads/routes.ts'
import { WEBHOOK_RATE, type WebhookRate } from './webhooks/queries.ts'
import { noteAtWebhook } from './webhooks/refusals.ts'
import { webhookRoutes } from './webhooks/routes.ts'

export * from './settings.ts'

// A running upload keeps its file's time fresh with every chunk.
const ABANDONED_MS = 3_600_000
// Fewer at once than connections, so that a search never keeps a message from being sent.
const SEARCHES = { running: 3, waiting: 64 }

export type MessagingDeps = {
  /** Opened as `conntext_messaging`. */
  db: Communications
  objects: ObjectStore
  bus: Bus
  log: Logger
  clock?: Clock
  guard: Guard
  auth: Pick<AuthPort, 'findUsers'>
  system: Pick<SystemPort, 'ingestAudit' | 'appendEvents'>
  /** How much may be stored; as much as there is room for unless told. */
  quotas?: Quotas
  /** How often each webhook may write. */
  webhookRate?: WebhookRate
  /** What other services show to use the port. */
  credential: string
}

/** Messages and media. */
export function createMessagingService(given: MessagingDeps): Service {
  const defaults = {
    clock: systemClock,
    quotas: { person: undefined, server: undefined },
    webhookRate: WEBHOOK_RATE,
    ...given,
  }
  const directory = new Directory(defaults)
  const guard = given.guard.withConversations((id, userId) => directory.isParticipant(id, userId))
  const deps = { ...defaults, guard, directory, objects: tellingAway(metered(given.objects)) }
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
      [STREAM_EVENT]: async (batch) => {
        await system.appendEvents({ events: latestOnly(batch.map((entry) => entry.payload as StreamAppend)) })
      },
      ...mediaTopics({ db, objects, nudge: () => nudge() }),
      [CONVERSATION_NEWS]: async (batch) => {
        for (const { payload } of batch) await directory.publish(payload as ConversationNews)
      },
      [CONVERSATION_PURGE]: async (batch) => {
        for (const { payload } of batch) await purgeConversation(db, payload as ConversationPurge)
        nudge()
      },
    },
  })
  const nudge = () => {
    relay.nudge()
    pictures.nudge()
  }
  const publication = new Publication(bus, log)
  const write = createStreamWriter(db, publication)
  const refusals = new RefusalLog({
    ...deps,
    audit: messagingAudit,
    async record(event) {
      await recordAudit(db, [event])
      nudge()
    },
  })
  const refused = noteAccess(refusals, messagingAudit)
  const jobs: RunningJob[] = []
  const knownTime = new KnownTime({ db, table: messagingKnownTime, log })
  const pictures = new PictureQueue({ ...deps, nudge: () => relay.nudge() })
  const sender = new Sender({ ...deps, write, refused, pictures })
  const shared = { ...deps, pictures, leases: new Leases(deps), write, sender, refused, nudge }
  const indexer = new SearchIndexer(deps)
  const routeDeps = {
    ...shared,
    lanes: new Lanes(SEARCHES),
    refusedAtWebhook: noteAtWebhook(refusals),
    access: { guard, refused },
  }

  return {
    name: 'messaging',
    app: baseApp({ service: 'messaging', log, rawBodies: RAW_BODIES })
      .use(messageRoutes(routeDeps))
      .use(reactionRoutes(routeDeps))
      .use(pinRoutes(routeDeps))
      .use(readRoutes(routeDeps))
      .use(searchRoutes(routeDeps))
      .use(mediaRoutes(routeDeps))
      .use(uploadRoutes(routeDeps))
      .use(libraryRoutes(routeDeps))
      .use(conversationRoutes(routeDeps))
      .use(contactRoutes(routeDeps))
      .use(callRoutes(routeDeps))
      .use(webhookRoutes(routeDeps)),
    port: createPort({ ...shared, relay, knownTime }, deps.credential),
    async start() {
      if (!(await knownTime.isInDoubt().catch(() => true)))
        await objects
          .sweepTemporary(ABANDONED_MS)
          .catch((error) => log.warn({ err: error }, 'abandoned uploads could not be swept'))
      await directory.start()
      relay.start()
      refusals.start()
      indexer.start()
      pictures.start()
      const expiring = [pruningJob(deps), orphanSweepJob(deps), retentionJob(shared), callRetentionJob(shared)]
      const work = [knownTime.job, callSettlingJob(shared), ...expiring.map((job) => knownTime.guard(job))]
      for (const job of work) jobs.push(startJob(job, log))
    },
    async stop() {
      await sender.close()
      await Promise.all([
        publication.settled(),
        refusals.stop(),
        indexer.stop(),
        pictures.stop(),
        ...jobs.splice(0).map((job) => job.stop()),
      ])
      await relay.stop({ flush: true })
      await directory.stop()
    },
  }
}
