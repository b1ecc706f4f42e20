import type { Bus } from '@conntext/bus'
import {
  MAX_MEMBERSHIPS,
  type Message,
  type MessagingPort,
  messagingPort,
  type NewMessage,
  type Problem,
  READY_CONVERSATIONS,
} from '@conntext/contracts'
import { appliedMigrations, type KnownTime } from '@conntext/database'
import { type Communications, knownCommunicationsMigrations } from '@conntext/db-communications'
import {
  accessErrors,
  busProbe,
  type Caller,
  channelNotFound,
  clockDoubtProbe,
  createHealth,
  type Guard,
  outboxProbe,
  type Probe,
  postgresProbe,
  type Refused,
  servePort,
  toAppError,
  toProblem,
  withSchemas,
} from '@conntext/http'
import type { Clock, Logger } from '@conntext/kernel'
import type { ObjectStore } from '@conntext/object-store'
import type { OutboxRelay } from '@conntext/outbox'
import { appendEvents, streamEvents, streamHeads } from '@conntext/streams'
import { purgeCalls } from './calls/queries.ts'
import { recordCalls } from './calls/record.ts'
import { pageCallsOf } from './calls/service.ts'
import { assertAccepted } from './contacts/acceptance.ts'
import { readContacts } from './contacts/service.ts'
import { acknowledgeDeliveries } from './conversations/delivery.ts'
import { listConversations, listMemberships, readConversation } from './conversations/queries.ts'
import type { ConversationDeps } from './conversations/service.ts'
import { forgetUser, settleWrites } from './departure.ts'
import { pageFiles, pageWritten } from './export/queries.ts'
import type { PictureQueue } from './images/queue.ts'
import { publishImage, withdrawImage } from './media/pictures.ts'
import { deleteRecentMessages } from './messages/deletion.ts'
import { announceMember } from './messages/joining.ts'
import { purgeChannel } from './messages/purge.ts'
import type { Sender } from './messages/send.ts'
import { findMarks } from './reads/queries.ts'
import { markRead } from './reads/service.ts'
import { readStorage } from './storage/storage.ts'
import { tables, type WriteStreams } from './streams/writer.ts'

export type PortDeps = ConversationDeps & {
  db: Communications
  objects: ObjectStore
  bus: Bus
  guard: Guard
  clock: Clock
  log: Logger
  sender: Sender
  write: WriteStreams
  refused: Refused
  relay: OutboxRelay
  pictures: PictureQueue
  knownTime: KnownTime
  nudge: () => void
}

/** What messaging offers to the other services. */
export function createPort(deps: PortDeps, credential: string) {
  const { db, write, nudge } = deps
  const implementation: MessagingPort = {
    streamHeads: async ({ streams }) => ({ heads: await streamHeads(db, tables, streams) }),
    streamEvents: (query) => streamEvents(db, tables, query),
    sendMessages: ({ caller, sends }) => sendInOrder(deps, { ...caller, reason: null }, sends),
    async markRead({ caller, channelId, seq }) {
      if (!(await deps.guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
      if (!(await deps.guard.allows(caller, 'message.history', channelId))) {
        throw accessErrors.forbidden('This needs the permission message.history.')
      }
      return markRead(deps, { userId: caller.userId, channelId, seq })
    },
    readStates: async ({ userId }) => ({ states: await findMarks(db, userId) }),
    contactsOf: ({ userId }) => readContacts(deps, userId),
    appendEvents: async ({ events }) => {
      const streams = events.map((event) => event.stream)
      await write(streams, async (tx) => ({ answer: undefined, events: await appendEvents(tx, tables, events) }))
      return {}
    },
    channelDeleted: async ({ channelId }) => {
      await purgeChannel(db, channelId)
      await purgeCalls(db, channelId)
      nudge()
      return {}
    },
    async deleteMessagesOf(given) {
      await settleWrites(deps, given.userId)
      await deleteRecentMessages(deps, given)
      nudge()
      return {}
    },
    async userDeleted(given) {
      await forgetUser(deps, given)
      nudge()
      return {}
    },
    async publishImage(given) {
      await deps.pictures.settled(given.userId, [given.mediaId])
      await publishImage(db, given)
      return {}
    },
    async withdrawImage(given) {
      await withdrawImage(db, given)
      nudge()
      return {}
    },
    async memberJoined(joining) {
      await announceMember(deps, joining)
      return {}
    },
    writtenBy: (query) => pageWritten(db, query),
    filesOf: (query) => pageFiles(db, query),
    callsOf: (query) => pageCallsOf(deps, query),
    async recordCalls({ reports }) {
      await recordCalls(deps, reports)
      return {}
    },
    async conversationsOf({ userId, after }) {
      const rows = await listMemberships(db, { userId, after, limit: MAX_MEMBERSHIPS + 1 })
      const memberships = rows.slice(0, MAX_MEMBERSHIPS)
      const newest =
        after === undefined ? (await listConversations(db, { userId, limit: READY_CONVERSATIONS })).items : []
      return { memberships, newest, next: rows.length > MAX_MEMBERSHIPS ? memberships.at(-1)!.id : null }
    },
    conversation: async ({ channelId }) => (await readConversation(db, channelId)) ?? null,
    async assertAccepted({ userId, channelId }) {
      await assertAccepted(db, channelId, userId)
      return {}
    },
    async acknowledgeDeliveries({ userId, deliveries }) {
      await acknowledgeDeliveries(deps, userId, deliveries)
      return {}
    },
    storage: () => readStorage(db, deps.log),
    health: withSchemas(healthOf(deps), {
      communications: {
        expected: knownCommunicationsMigrations().length,
        applied: () => appliedMigrations(deps.db),
      },
    }),
  }
  return servePort(messagingPort, implementation, { credential, log: deps.log })
}

type Send = { channelId: string; message: NewMessage }
type Outcome = { message: Message } | { problem: Problem }

/** All are checked first, which takes some longer than others; then they are submitted in their order. */
async function sendInOrder(deps: PortDeps, caller: Caller, sends: Send[]): Promise<Outcome[]> {
  const problem = (error: unknown): Outcome => {
    const about = { requestId: caller.requestId, path: 'message.send' }
    return { problem: toProblem(toAppError('UNKNOWN', error, deps.log, about), caller.requestId) }
  }
  const prepared = await Promise.allSettled(
    sends.map(async ({ channelId, message }) => {
      await admit(deps, caller, channelId)
      return deps.sender.prepare(caller, channelId, message)
    }),
  )
  return Promise.all(
    prepared.map(async (one): Promise<Outcome> => {
      if (one.status === 'rejected') return problem(one.reason)
      return deps.sender.submit(one.value).then((message) => ({ message }), problem)
    }),
  )
}

/** What the access macro asks before the POST, for the caller of a gateway. */
async function admit({ guard, refused }: PortDeps, caller: Caller, channelId: string): Promise<void> {
  if (!(await guard.allows(caller, 'channel.view', channelId))) throw channelNotFound()
  if (await guard.allows(caller, 'message.send', channelId)) return
  refused(caller, 'message.send', 'message.send')
  throw accessErrors.forbidden('This needs the permission message.send.')
}

function healthOf({ db, bus, objects, relay, pictures, clock, knownTime }: PortDeps) {
  const receivers = 'the system service and the object store'
  const store: Probe = {
    name: 'object store',
    // Messages go on without it; only files don't.
    critical: false,
    remedy: 'See that the object store runs, can be written, and has space left.',
    async run() {
      await objects.check()
      return undefined
    },
  }
  const thumbnails: Probe = {
    name: 'thumbnails',
    // Pictures are shown all the same, without what they tell.
    critical: false,
    remedy: 'sharp has no build for this machine: thumbnails are made once the server runs on one that it has.',
    async run() {
      if (!pictures.canDecode) throw new Error('pictures can not be decoded on this machine')
      return undefined
    },
  }
  const outbox = outboxProbe({ lag: () => relay.lag(), clock, table: 'messaging_outbox', receivers })
  return createHealth(
    'messaging',
    [
      ...[postgresProbe(db, 'Communication'), store, thumbnails, outbox, busProbe(bus)],
      clockDoubtProbe(() => knownTime.look()),
    ],
    clock,
  )
}
