import { publicStream } from '@conntext/contracts'
import type { Access } from '../access/access.ts'
import type { Metrics } from '../metrics.ts'
import type { StreamHub } from '../streams/hub.ts'
import type { StreamSource } from '../streams/source.ts'
import type { Connection } from './connection.ts'
import { type Connections, conversationTopic, SERVER_TOPIC, userTopic } from './connections.ts'

// How long a connection that knows more than this gateway is waited with, and how often it is looked at.
const AHEAD_MS = 5_000
const AHEAD_STEP_MS = 20

export type ReplayDeps = {
  hub: StreamHub
  source: StreamSource
  access: Access
  connections: Connections
  metrics: Metrics
}

/**
 * Brings a connection from its positions to where its streams stand, and then lets it follow live. The last look at all
 * streams and the subscribing happen without anything in between; until then the connection gets events from here
 * alone, from then on from the topics alone.
 */
export class Replay {
  constructor(private readonly deps: ReplayDeps) {}

  /** Goes on, in steps that respect what the client can take, until the connection follows live or is gone. */
  async finish(connection: Connection): Promise<void> {
    const deadline = performance.now() + AHEAD_MS
    while (connection.open && connection.positions) {
      await this.deps.access.settled()
      await connection.drained()
      const held = this.step(connection)
      if (held === undefined) continue
      if (held.kind === 'ahead') await this.#waitFor(connection, held.stream, deadline)
      else await this.#fetch(connection, held.stream)
    }
  }

  /** Sends what is at hand. Answers the stream for which more has to be done; undefined when none, or not now. */
  step(connection: Connection): { kind: 'behind' | 'ahead'; stream: string } | undefined {
    const { hub, access } = this.deps
    const { positions } = connection
    if (!connection.open || !positions || access.gate.closed) return undefined
    for (const [stream, position] of positions) {
      if (connection.congested) return undefined
      const sequencer = hub.get(stream)
      if (!sequencer) positions.delete(stream)
      else if (position > sequencer.head) return { kind: 'ahead', stream }
      else if (position < sequencer.head) {
        const frames = sequencer.ring.after(position)
        if (!frames) return { kind: 'behind', stream }
        for (const { seq, frame } of frames) {
          if (connection.congested) return undefined
          connection.send(frame)
          positions.set(stream, seq)
        }
      }
    }
    this.#follow(connection)
    return undefined
  }

  reset(connection: Connection, stream: string, seq: number): void {
    connection.positions?.set(stream, seq)
    this.deps.metrics.resets.inc()
    connection.send(resetFrame(stream, seq))
  }

  #follow(connection: Connection): void {
    const { socket, identity, visibility, conversations } = connection
    this.deps.connections.follows(connection)
    if (!identity || !visibility) return
    const own = [SERVER_TOPIC, userTopic(identity.userId)]
    const topics = [...own, ...visibility.topics, ...[...conversations].map(conversationTopic)]
    for (const name of topics) socket.subscribe(connection.topic(name))
  }

  async #fetch(connection: Connection, stream: string): Promise<void> {
    const { hub, source } = this.deps
    let position = connection.positions?.get(stream)
    if (position === undefined) return
    const { events, truncated } = await source.events(stream, position)
    if (!(await this.#stillAt(connection, stream, position))) return
    if (truncated || events.length === 0) return this.reset(connection, stream, hub.get(stream)!.head)
    for (const { seq, frame } of events) {
      if (connection.congested) {
        await connection.drained()
        if (!(await this.#stillAt(connection, stream, position))) return
      }
      // What the sequencer has not delivered yet will come from it.
      if (seq > hub.get(stream)!.head) return
      connection.send(frame)
      connection.positions!.set(stream, seq)
      position = seq
    }
  }

  /** Whether, after a wait, the connection may still be served the stream from where it was. */
  async #stillAt(connection: Connection, stream: string, position: number): Promise<boolean> {
    const { access, hub } = this.deps
    await access.settled()
    if (access.gate.closed || !connection.open) return false
    return connection.positions?.get(stream) === position && hub.get(stream) !== undefined
  }

  async #waitFor(connection: Connection, stream: string, deadline: number): Promise<void> {
    await Bun.sleep(AHEAD_STEP_MS)
    const head = this.deps.hub.get(stream)?.head
    if (performance.now() < deadline || head === undefined || !connection.positions?.has(stream)) return
    if (connection.positions.get(stream)! > head) this.reset(connection, stream, head)
  }
}

export const resetFrame = (stream: string, seq: number): string =>
  JSON.stringify({ op: 'reset', stream: publicStream(stream), seq })
