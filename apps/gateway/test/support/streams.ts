import type { Bus } from '@conntext/bus'
import { channelStream, type Message, type MessagingPort, type SystemPort } from '@conntext/contracts'
import type { Executor } from '@conntext/database'
import { streamEvents as messagingEvents, streams as messagingStreams } from '@conntext/db-communications'
import { streamEvents as systemEvents, streams as systemStreams } from '@conntext/db-server-details'
import { newId, silentLogger } from '@conntext/kernel'
import {
  appendEvents,
  dropStream,
  publishEvents,
  type StreamTables,
  streamEvents,
  streamHeads,
} from '@conntext/streams'
import { testCommunications, testServerDetails } from '@conntext/testing'
import { and, eq, lte } from 'drizzle-orm'

type StreamPort = Pick<SystemPort, 'streamHeads' | 'streamEvents'>

const NOW = '2026-01-01T00:00:00.000Z'

const portOver = (db: Executor, tables: StreamTables): StreamPort => ({
  streamHeads: async ({ streams }) => ({ heads: await streamHeads(db, tables, streams) }),
  streamEvents: (query) => streamEvents(db, tables, query),
})

/** Real event logs on a real Postgres: what system and messaging are to a gateway, without their routes. */
export async function testLogs() {
  const [details, communications] = await Promise.all([testServerDetails(), testCommunications()])
  const system = { db: details.system as Executor, tables: { streams: systemStreams, streamEvents: systemEvents } }
  const messaging = {
    db: communications.messaging as Executor,
    tables: { streams: messagingStreams, streamEvents: messagingEvents },
  }
  const ownerOf = (stream: string) => (stream.startsWith('channel:') ? messaging : system)

  return {
    system: portOver(system.db, system.tables),
    messaging: portOver(messaging.db, messaging.tables),

    /** Commits events, and publishes them on the bus if there is one. */
    async append(stream: string, data: unknown[], bus?: Bus): Promise<number> {
      const { db, tables } = ownerOf(stream)
      const appended = await db.transaction((tx) =>
        appendEvents(
          tx as unknown as Executor,
          tables,
          data.map((one) => ({ stream, type: 'message.created', data: one })),
        ),
      )
      if (bus) await publishEvents(bus, silentLogger, appended)
      return appended.at(-1)!.seq
    },

    /** Retention has removed the events up to and with `seq`. */
    async truncate(stream: string, seq: number): Promise<void> {
      const { db, tables } = ownerOf(stream)
      const log = tables.streamEvents
      await db.delete(log).where(and(eq(log.stream, stream), lte(log.seq, seq)))
    },

    /** The stream as it is after a restore from a backup in which it was empty. */
    drop: (stream: string) => dropStream(ownerOf(stream).db, ownerOf(stream).tables, stream),

    async [Symbol.asyncDispose]() {
      await Promise.all([details[Symbol.asyncDispose](), communications[Symbol.asyncDispose]()])
    },
  }
}

export type Logs = Awaited<ReturnType<typeof testLogs>>

/** `message.send` over the logs: the event is committed, then published, then answered. */
export const sender =
  (logs: Logs, bus: Bus): MessagingPort['sendMessages'] =>
  async ({ caller, sends }) => {
    const outcomes: { message: Message }[] = []
    for (const { channelId, message } of sends) {
      const stored = {
        id: newId(),
        channelId,
        authorId: caller.userId,
        content: message.content,
        nonce: message.nonce ?? null,
        type: 'default' as const,
        replyTo: null,
        replyPreview: null,
        mentions: { userIds: [], roleIds: [], everyone: false },
        media: [],
        reactions: [],
        pinnedAt: null,
        createdAt: NOW,
        editedAt: null,
        revision: 0,
      }
      const seq = await logs.append(channelStream(channelId), [stored], bus)
      outcomes.push({ message: { ...stored, seq } })
    }
    return outcomes
  }
