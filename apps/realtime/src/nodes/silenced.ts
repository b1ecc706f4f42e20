import type { VoiceState } from '@conntext/contracts'

/** Accounts, as a call has them. */
export type SilencedUsers = { muted: Set<string>; deafened: Set<string> }

/** Whom moderators had muted and deafened in calls that were lost, for as long as these may come back. */
export class Silenced {
  readonly #calls = new Map<string, SilencedUsers & { at: number }>()

  constructor(private readonly withinMs: number) {}

  /** Participations are over that their owners had not ended. */
  note(states: Iterable<VoiceState>, now: number): void {
    for (const [channelId, { at }] of this.#calls) if (at < now - this.withinMs) this.#calls.delete(channelId)
    for (const { channelId, userId, muted, deafened } of states) {
      if (!muted && !deafened) continue
      const known = this.#calls.get(channelId) ?? { muted: new Set(), deafened: new Set(), at: now }
      this.#calls.set(channelId, known)
      known.at = now
      if (muted) known.muted.add(userId)
      if (deafened) known.deafened.add(userId)
    }
  }

  /** For a channel's call that begins; it keeps them from then on. */
  take(channelId: string, now: number): SilencedUsers | undefined {
    const known = this.#calls.get(channelId)
    this.#calls.delete(channelId)
    return known && known.at >= now - this.withinMs ? known : undefined
  }
}
