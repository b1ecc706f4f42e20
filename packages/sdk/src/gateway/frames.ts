import type { ClientFrames, Events, ServerFrames } from '../generated/events.ts'
import type { Media, Problem } from '../generated/types.gen.ts'

export * from '../generated/events.ts'
export type { Media }

export type Hello = ServerFrames['hello']
export type Ready = ServerFrames['ready']
export type Reset = ServerFrames['reset']

/** One event. Within a stream `seq` rises by one; an event without it is ephemeral. */
export type StreamEvent<T extends keyof Events = keyof Events> = {
  [K in T]: { op: 'event'; t: K; stream: string; seq?: number; d: Events[K]; at: string }
}[T]
export type Reply =
  | { op: 'reply'; id: number; ok: true; d: unknown }
  | { op: 'reply'; id: number; ok: false; error: Problem }
export type ServerFrame = ServerFrames[keyof ServerFrames] | StreamEvent | Reply

/** What a client says, without the `op` and the `id`, which the gateway client adds. */
export type Spoken<K extends keyof ClientFrames> = Omit<ClientFrames[K], 'op' | 'id'>
export type OutgoingMessage = Spoken<'message.send'>
