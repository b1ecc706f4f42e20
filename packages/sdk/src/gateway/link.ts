import { lifetimeOf } from '../lifetime.ts'
import { moment, since } from '../moment.ts'
import type { Hello, ServerFrame } from './frames.ts'

// Without a word from the other side, or with one that is none: as a connection that was lost.
const LOST = 1006
// Twice in the time by which `Api` renews a token early, so that the living one never runs out.
const RENEW_MS = 15_000
const RENEWALS = 6
const SILENT_BEATS = 2.5
// Whatever a server says: a heart that beats faster would do nothing else.
const LEAST_BEAT_MS = 10

export type LinkEvents = {
  /** The server has greeted: answers what to say of oneself. */
  greeted(hello: Hello): object
  received(frame: Exclude<ServerFrame, Hello>): void
  /** It is gone; called once. */
  lost(code: number): void
  /** Another token, where there is one. */
  renewed(): Promise<string>
}

/** One connection, from its opening to its end: greeting, heartbeats, the token's renewal, and who is gone unnoticed. */
export class Link {
  readonly #socket: WebSocket
  readonly #timers: ReturnType<typeof setInterval>[] = []
  readonly #deadline: ReturnType<typeof setTimeout>
  #lastHeard = moment()
  #ended = false

  constructor(
    socket: WebSocket,
    private readonly events: LinkEvents,
    private token: string,
    readyMs: number,
  ) {
    this.#socket = socket
    this.#deadline = setTimeout(() => this.#lose(LOST), readyMs)
    socket.onmessage = ({ data }) => this.#receive(data)
    socket.onclose = ({ code }) => this.#lose(code)
    // Followed by a close, which is what is acted upon.
    socket.onerror = () => {}
  }

  send(frame: string): void {
    if (!this.#ended && this.#socket.readyState === 1) this.#socket.send(frame)
  }

  /** Ends it; nothing more is heard of it. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#deadline)
    if (this.#socket.readyState <= 1) this.#socket.close(1000)
  }

  #lose(code: number): void {
    if (this.#ended) return
    this.end()
    this.events.lost(code)
  }

  #receive(data: unknown): void {
    if (this.#ended) return
    this.#lastHeard = moment()
    try {
      const frame = JSON.parse(String(data)) as ServerFrame
      if (frame.op === 'hello') this.#identify(frame)
      else {
        if (frame.op === 'ready') clearTimeout(this.#deadline)
        this.events.received(frame)
      }
    } catch {
      // No frame of this protocol: whoever sends it is not to be listened to.
      this.#lose(LOST)
    }
  }

  #identify(hello: Hello): void {
    const words = this.events.greeted(hello)
    this.send(JSON.stringify({ op: 'identify', token: this.token, ...words }))
    const beatMs = Math.max(LEAST_BEAT_MS, hello.heartbeatMs)
    const beat = () => {
      // Nothing heard for two beats although each is answered: the connection is dead and nobody said so.
      if (since(this.#lastHeard) > SILENT_BEATS * beatMs) this.#lose(LOST)
      else this.send('{"op":"heartbeat","id":0}')
    }
    const renewMs = Math.min(RENEW_MS, (lifetimeOf(this.token) ?? Number.POSITIVE_INFINITY) / RENEWALS)
    this.#timers.push(
      setInterval(beat, beatMs * (0.8 + Math.random() * 0.15)),
      setInterval(() => void this.#renew(), renewMs),
    )
  }

  async #renew(): Promise<void> {
    const token = await this.events.renewed().catch(() => this.token)
    if (this.#ended || token === this.token) return
    this.token = token
    this.send(JSON.stringify({ op: 'refresh', token }))
  }
}
