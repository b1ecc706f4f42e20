import type { Events, Ready } from './frames.ts'

export type Delivery = { channelId: string; seq: number }

// Some that arrive together are told together; a burst must not be too many frames for the server.
const PAUSE_MS = 100
const AT_ONCE = 200

/** Tells, for conversations, up to where what others said has arrived here: what they see as delivered. */
export class Deliveries {
  readonly #channels = new Set<string>()
  readonly #arrived = new Map<string, number>()
  #ownId: string | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `tell` answers whether it could be told now; what couldn't be is tried again with the next `ready`. */
  constructor(private readonly tell: (delivery: Delivery) => boolean) {}

  begin(ready: Ready): void {
    this.#ownId = ready.user.id
    this.#channels.clear()
    this.see(ready.channels)
    if (this.#arrived.size > 0) this.#soon()
  }

  /** Channels that are none of somebody's conversations. */
  see(channels: readonly { id: string }[]): void {
    for (const { id } of channels) this.#channels.add(id)
  }

  take({ channelId, authorId, seq }: Events['message.created']): void {
    if (authorId === this.#ownId || this.#channels.has(channelId)) return
    this.#arrived.set(channelId, Math.max(seq, this.#arrived.get(channelId) ?? 0))
    this.#soon()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => this.#flush(), PAUSE_MS)
  }

  #flush(): void {
    this.#timer = undefined
    for (const [channelId, seq] of [...this.#arrived].slice(0, AT_ONCE)) {
      if (!this.tell({ channelId, seq })) return
      this.#arrived.delete(channelId)
    }
    if (this.#arrived.size > 0) this.#soon()
  }
}
