import type { GatewayClient, StreamEvent } from '@conntext/sdk'

/** What came to one client, stream by stream: where it began, and each event's number and what it was. */
export class Recorder {
  /** Numbers of the streams as they stood when the client was first ready. */
  readonly began = new Map<string, number>()
  readonly #events = new Map<string, { seq: number; what: string }[]>()
  resets = 0
  /** How often the client has been ready. */
  connections = 0

  constructor(gateway: GatewayClient) {
    gateway.on('ready', ({ streams }) => {
      this.connections += 1
      for (const [stream, seq] of Object.entries(streams)) if (!this.began.has(stream)) this.began.set(stream, seq)
    })
    gateway.on('reset', () => {
      this.resets += 1
    })
    gateway.on('event', (event) => this.#note(event))
  }

  #note(event: StreamEvent): void {
    // Ephemeral events may be lost.
    if (event.seq === undefined) return
    const { id, nonce } = event.d as { id?: string; nonce?: string | null }
    const entry = { seq: event.seq, what: `${event.t} ${id ?? ''} ${nonce ?? ''}` }
    const events = this.#events.get(event.stream)
    if (events) events.push(entry)
    else this.#events.set(event.stream, [entry])
  }

  of(stream: string): { seq: number; what: string }[] {
    return this.#events.get(stream) ?? []
  }

  /** The number of the last event that came, or where the client began. */
  head(stream: string): number {
    return this.of(stream).at(-1)?.seq ?? this.began.get(stream) ?? 0
  }
}
