import type { Emitter } from '../gateway/emitter.ts'
import type { Ready, StreamEvent } from '../gateway/frames.ts'
import type { VoiceEvents } from './events.ts'
import type { VoiceState } from './frames.ts'

/** Who is in the calls of the channels that one sees, as the server tells it. An account is in one call at most. */
export class VoiceBoard {
  readonly #states = new Map<string, VoiceState>()

  constructor(private readonly emitter: Emitter<VoiceEvents>) {}

  /** All, or those in one channel; who came first stands first. */
  states(channelId?: string): VoiceState[] {
    const all = [...this.#states.values()].filter((state) => channelId === undefined || state.channelId === channelId)
    return all.sort((one, other) => (one.joinedAt < other.joinedAt ? -1 : 1))
  }

  stateOf(userId: string): VoiceState | undefined {
    return this.#states.get(userId)
  }

  begin({ voiceStates }: Ready): void {
    this.#states.clear()
    for (const state of voiceStates) this.#states.set(state.userId, state)
    this.emitter.emit('reset', undefined)
  }

  hear({ t, d }: StreamEvent): void {
    if (t === 'voice.joined' || t === 'voice.updated') this.#put(d)
    else if (t === 'voice.left') this.#drop(d.userId, d.channelId)
    else if (t === 'channel.deleted') this.#hide([d.id])
    else if (t === 'access.changed') this.#hide(d.removed)
  }

  #put(state: VoiceState): void {
    const before = this.#states.get(state.userId)
    if (before && before.channelId !== state.channelId) this.#drop(state.userId, before.channelId)
    this.#states.set(state.userId, state)
    this.emitter.emit(before?.channelId === state.channelId ? 'updated' : 'joined', state)
  }

  #drop(userId: string, channelId: string): void {
    // Whoever has gone on to another channel has left the one before.
    if (this.#states.get(userId)?.channelId !== channelId) return
    this.#states.delete(userId)
    this.emitter.emit('left', { channelId, userId })
  }

  /** What one doesn't see any more: nobody tells how it goes on there. */
  #hide(channelIds: string[]): void {
    for (const { channelId, userId } of this.states()) if (channelIds.includes(channelId)) this.#drop(userId, channelId)
  }
}
