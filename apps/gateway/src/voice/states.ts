import {
  channelStream,
  type VoiceBoard,
  type VoiceChange,
  type VoiceEvent,
  type VoiceEventData,
  type VoiceState,
  voiceFrame,
} from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { Connection } from '../sockets/connection.ts'

export type VoiceStatesOptions = {
  board: VoiceBoard
  clock: Clock
  /** While true nothing is told: it is being found out who sees what. */
  held(): boolean
  /** Sends a frame to all who follow a channel's stream. */
  publish(stream: string, frame: string): void
  /** Those who have had their `ready` and don't follow their streams yet. */
  catchingUp(): Iterable<Connection>
}

/** Whether a connection sees a channel, or takes part in a conversation. */
const sees = ({ visibility, conversations }: Connection, channelId: string): boolean =>
  visibility?.channels.has(channelId) || conversations.has(channelId)

/**
 * Who is in which call, as far as this gateway's clients have been told; hence what a new one begins with, and whoever
 * gains a channel. What the board has beyond it is told at once, but while it is being found out who sees what.
 */
export class VoiceStates {
  /** By channel, then by account: the states as they were told, as JSON text. */
  readonly #calls = new Map<string, Map<string, string>>()
  readonly #callOf = new Map<string, string>()
  readonly #dirty = new Set<string>()

  constructor(private readonly options: VoiceStatesOptions) {}

  changed(changes: VoiceChange[]): void {
    for (const change of changes) this.#dirty.add(change.kind === 'left' ? change.userId : change.state.userId)
    this.flush()
  }

  /** Tells what hasn't been told. */
  flush(): void {
    if (this.options.held()) return
    for (const userId of this.#dirty) this.#tell(userId)
    this.#dirty.clear()
  }

  /** The states that a connection begins with, as JSON text. */
  forReady(connection: Connection): string {
    const seen: string[] = []
    for (const [channelId, states] of this.#calls) if (sees(connection, channelId)) seen.push(...states.values())
    return `[${seen.join()}]`
  }

  /** A connection sees channels that it didn't see before. */
  gained(connection: Connection, isNew: (channelId: string) => boolean): void {
    for (const [channelId, states] of this.#calls) {
      if (!isNew(channelId) || !sees(connection, channelId)) continue
      for (const json of states.values()) {
        connection.send(this.#frame(channelId, 'voice.joined', JSON.parse(json) as VoiceState))
      }
    }
  }

  #tell(userId: string): void {
    const state = this.options.board.stateOf(userId)
    const channelId = this.#callOf.get(userId)
    if (channelId !== undefined && channelId !== state?.channelId) {
      this.#forget(channelId, userId)
      this.#send(channelId, 'voice.left', { channelId, userId })
    }
    if (!state) return
    const json = JSON.stringify(state)
    const call = this.#calls.get(state.channelId) ?? new Map<string, string>()
    const before = call.get(userId)
    if (before === json) return
    this.#calls.set(state.channelId, call.set(userId, json))
    this.#callOf.set(userId, state.channelId)
    this.#send(state.channelId, before === undefined ? 'voice.joined' : 'voice.updated', state)
  }

  #forget(channelId: string, userId: string): void {
    this.#callOf.delete(userId)
    const call = this.#calls.get(channelId)
    if (call?.delete(userId) && call.size === 0) this.#calls.delete(channelId)
  }

  #send<E extends VoiceEvent>(channelId: string, event: E, data: VoiceEventData[E]): void {
    const frame = this.#frame(channelId, event, data)
    this.options.publish(channelStream(channelId), frame)
    for (const connection of this.options.catchingUp()) if (sees(connection, channelId)) connection.send(frame)
  }

  #frame<E extends VoiceEvent>(channelId: string, event: E, data: VoiceEventData[E]): string {
    return voiceFrame(channelStream(channelId), event, this.options.clock.now().toISOString(), data)
  }
}
