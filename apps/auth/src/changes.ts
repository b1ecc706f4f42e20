import type { Bus } from '@conntext/bus'
import {
  type AuditEvent,
  type AuthorityChange,
  type EventData,
  type EventType,
  type MessagingPort,
  type SessionRevocation,
  type StreamAppend,
  type StreamName,
  type SystemPort,
  subjects,
} from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { authOutbox, type ServerDetails } from '@conntext/db-server-details'
import { type Logger, newId } from '@conntext/kernel'
import type { Keyring } from '@conntext/keyring'
import { type Deliver, enqueue, type OutboxEntry, OutboxRelay } from '@conntext/outbox'
import { type PictureGivenUp, withdrawPicture } from './users/pictures.ts'

/** An event for a stream of system's, which the outbox takes there. */
export const streamEvent = <T extends EventType>(stream: StreamName, type: T, data: EventData[T]): StreamAppend => ({
  id: newId(),
  stream,
  type,
  at: new Date().toISOString(),
  data,
})

/** What messaging is to delete because of a change here. */
export type Deletion = {
  [K in 'deleteMessagesOf' | 'userDeleted']: { operation: K; request: Parameters<MessagingPort[K]>[0] }
}['deleteMessagesOf' | 'userDeleted']

/** Somebody has joined, of their own accord. */
export type Joining = { userId: string }

/** What a change owes to others, written in its own transaction. */
export type Owed = {
  audit?: AuditEvent[]
  joins?: Joining[]
  events?: StreamAppend[]
  deletions?: Deletion[]
  pictures?: PictureGivenUp[]
}

/** What others have cached of what has changed. */
export type Settled = { authority?: AuthorityChange[]; revoked?: SessionRevocation[] }

type Dependencies = {
  db: ServerDetails
  bus: Bus
  log: Logger
  keyring: Keyring
  system: Pick<SystemPort, 'appendEvents' | 'ingestAudit' | 'releaseInvite'>
  messaging: Pick<MessagingPort, 'deleteMessagesOf' | 'userDeleted' | 'withdrawImage' | 'memberJoined'>
  /** What features owe beside that, by the outbox's topic. */
  topics?: Record<string, Deliver>
}

/** How a change leaves this service: owed in the transaction, told after the commit. */
export function createChanges({ db, bus, log, keyring, system, messaging, topics = {} }: Dependencies) {
  const relay = new OutboxRelay({
    db,
    table: authOutbox,
    log,
    // ClickHouse acknowledges before its files are on the disk.
    repeatAtStart: ['audit'],
    topics: {
      ...topics,
      audit: async (batch) => {
        await system.ingestAudit({
          events: await Promise.all(batch.map(({ payload }) => openEvent(keyring, payload as SealedEvent))),
        })
      },
      stream: async (batch) => {
        await system.appendEvents({ events: batch.map(({ payload }) => payload as StreamAppend) })
      },
      deletion: async (batch) => {
        for (const { payload } of batch) await order(messaging, payload as Deletion)
      },
      picture: async (batch) => {
        for (const { payload } of batch) await withdrawPicture(db, messaging, payload as PictureGivenUp)
      },
      joining: async (batch) => {
        for (const { id, payload } of batch) await messaging.memberJoined({ id, ...(payload as Joining) })
      },
      invite: async (batch) => {
        for (const { payload } of batch) await system.releaseInvite(payload as { userId: string })
      },
    },
  })

  const publish = async (subject: string, payload: object) => {
    try {
      await bus.announce(subject, JSON.stringify(payload))
    } catch (error) {
      // The change stands, and whoever missed this drops their caches when the bus is back.
      log.warn({ err: error, subject }, 'a change could not be published')
    }
  }

  return {
    relay,

    /** Writes what is owed; with the pool instead of a transaction, by itself. */
    async owe(
      tx: Executor,
      { audit = [], joins = [], events = [], deletions = [], pictures = [] }: Owed,
    ): Promise<void> {
      await enqueue(tx, authOutbox, [
        ...audit.map((event) => auditEntry(keyring, event)),
        ...joins.map((joining) => ({ id: newId(), topic: 'joining', payload: joining })),
        ...events.map((event) => ({ id: event.id, topic: 'stream', payload: event })),
        ...deletions.map((deletion) => ({ id: newId(), topic: 'deletion', payload: deletion })),
        ...pictures.map((picture) => ({ id: newId(), topic: 'picture', payload: picture })),
      ])
    },

    /** Sees to it that system gives the use of an invite back, however long it is away. */
    async oweInviteRelease(userId: string): Promise<void> {
      await enqueue(db, authOutbox, [{ id: newId(), topic: 'invite', payload: { userId } }])
      relay.nudge()
    },

    /** After the commit, before the answer: ships what is owed and drops what others have cached. */
    async settled({ authority = [], revoked = [] }: Settled = {}): Promise<void> {
      relay.nudge()
      for (const change of authority) await publish(subjects.authority, change)
      for (const revocation of revoked) await publish(subjects.sessionRevoked, revocation)
    },
  }
}

export type Changes = ReturnType<typeof createChanges>

const order = (messaging: Dependencies['messaging'], { operation, request }: Deletion) =>
  operation === 'userDeleted' ? messaging.userDeleted(request) : messaging.deleteMessagesOf(request)

/** How this service's outbox takes an audit event. */
export const auditEntry = (keyring: Keyring, event: AuditEvent): OutboxEntry => ({
  id: event.id,
  topic: 'audit',
  payload: sealEvent(keyring, event),
})

/** An audit event on its way: where somebody was is not kept in this database in clear. */
type SealedEvent = { event: AuditEvent; dataKeyId: string; origin: string }
type Origin = Pick<AuditEvent['actor'], 'address' | 'userAgent'>

const originContext = (event: AuditEvent) => `audit-origin:${event.id}`

function sealEvent(keyring: Keyring, event: AuditEvent): SealedEvent {
  const { address, userAgent } = event.actor
  const { dataKeyId, sealed } = keyring.seal(JSON.stringify({ address, userAgent }), originContext(event))
  const actor = { ...event.actor, address: null, userAgent: null }
  return { event: { ...event, actor }, dataKeyId, origin: Buffer.from(sealed).toString('base64') }
}

async function openEvent(keyring: Keyring, { event, dataKeyId, origin }: SealedEvent): Promise<AuditEvent> {
  const sealed = { dataKeyId, sealed: Buffer.from(origin, 'base64') }
  const opened = JSON.parse((await keyring.open(sealed, originContext(event))).toString()) as Origin
  return { ...event, actor: { ...event.actor, ...opened } }
}
