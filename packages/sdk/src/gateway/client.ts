import type { Message } from '../generated/types.gen.ts'
import { ProblemError } from '../problem.ts'
import { backoff } from './backoff.ts'
import { Cursors } from './cursors.ts'
import { Deliveries, type Delivery } from './deliveries.ts'
import { Emitter } from './emitter.ts'
import type { Events, Hello, OutgoingMessage, Ready, Reply, Reset, ServerFrame, StreamEvent } from './frames.ts'

export type GatewayOptions = {
  /** The server's address, such as `http://localhost:8080`. */
  baseUrl: string
  /** A valid access token; asked for at each connection and when the living one's expires. */
  token: () => Promise<string>
  /** For runtimes without a global one (Node before 22). */
  WebSocket?: typeof WebSocket
  /** Pauses between tries to connect. */
  reconnect?: { firstMs: number; longestMs: number }
  /** Whether to tell those who write to one that it has arrived; true unless given. */
  acknowledgeDeliveries?: boolean
  /** How long a connection may take until it is ready, before another one is tried; half a minute unless given. */
  connectMs?: number
}

/** What to listen to: the connection's own news, and each event by its name. */
export type GatewayEvents = Events & {
  ready: Ready
  event: StreamEvent
  /** The log was too old: fetch the stream's state anew. */
  reset: Reset
  /** The connection has gone; unless `final`, the client is about to come back. */
  disconnected: { code: number; final: boolean }
}

type Pending = {
  /** As JSON. */
  frame: string
  resolve: (value: unknown) => void
  reject: (error: Error) => void
  /** The connection on which it waits for its answer. */
  sentOn: WebSocket | undefined
}

const DEFAULTS = { reconnect: { firstMs: 250, longestMs: 15_000 }, connectMs: 30_000, acknowledgeDeliveries: true }
const AUTHENTICATION_FAILED = 4003
// Coming back would not help: we spoke nonsense, or the session has been ended.
const FINAL = new Set([4002, 4004])
const TOO_MANY = 429
// Whose tokens are refused when they are renewed has to log in again.
const LOGGED_OUT = new Set([401, 403])
// More than once in the time by which `Api` renews a token early, so that the living one never runs out.
const REFRESH_EVERY_MS = 20_000
// The rest waits here: a burst of thousands must not be too many frames for the server.
const MAX_UNANSWERED = 100

/**
 * The gateway's client. It keeps the connection alive, comes back with its cursors after whatever ended it, and hands
 * on every event of every stream once, in order. What is sent and not yet answered when the connection goes is sent
 * again afterwards; a nonce makes that harmless.
 */
export class GatewayClient {
  readonly #options: GatewayOptions & typeof DEFAULTS
  readonly #emitter = new Emitter<GatewayEvents>()
  readonly #cursors = new Cursors()
  readonly #pending = new Map<number, Pending>()
  readonly #deliveries = new Deliveries((delivery) => this.#deliver(delivery))
  #socket: WebSocket | undefined
  #token = ''
  #ready = false
  #closed = false
  #failures = 0
  #nextId = 1
  #heartbeat: ReturnType<typeof setInterval> | undefined
  #refresh: ReturnType<typeof setInterval> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #deadline: ReturnType<typeof setTimeout> | undefined
  #maxFrameBytes = Number.POSITIVE_INFINITY
  #lastHeard = 0

  constructor(options: GatewayOptions) {
    this.#options = { ...DEFAULTS, ...options }
  }

  on<K extends keyof GatewayEvents>(name: K, listener: (value: GatewayEvents[K]) => void): () => void {
    return this.#emitter.on(name, listener)
  }

  /** How far each stream has been read: what a later client can begin from. */
  get cursors(): Record<string, number> {
    return this.#cursors.toJSON()
  }

  /** Connects, and from then on stays connected. Resolves with the first `ready`. */
  connect(cursors?: Record<string, number>): Promise<Ready> {
    for (const [stream, seq] of Object.entries(cursors ?? {})) this.#cursors.set(stream, seq)
    return new Promise((resolve, reject) => {
      const stop = [
        this.on('ready', (ready) => {
          for (const end of stop) end()
          resolve(ready)
        }),
        this.on('disconnected', ({ code, final }) => {
          if (!final) return
          for (const end of stop) end()
          reject(new Error(`the gateway closed the connection with ${code}`))
        }),
      ]
      void this.#open()
    })
  }

  /**
   * Sends a message and answers it as it was stored. Survives disconnections: it is sent again, with the same nonce,
   * until the server has answered.
   * @throws ProblemError when the server refuses it, RangeError when it is larger than the server takes at all.
   */
  send(message: OutgoingMessage): Promise<Message> {
    return this.#request({ op: 'message.send', nonce: crypto.randomUUID(), ...message }) as Promise<Message>
  }

  /** Ends the connection for good; what is unanswered fails. */
  close(): void {
    clearTimeout(this.#retry)
    this.#socket?.close(1000)
    this.#forget()
    this.#end('the gateway client was closed')
  }

  #end(reason: string): void {
    this.#closed = true
    this.#deliveries.stop()
    for (const pending of this.#pending.values()) pending.reject(new Error(reason))
    this.#pending.clear()
  }

  #request(frame: object): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Error('the gateway client was closed'))
    return new Promise((resolve, reject) => {
      const id = this.#nextId++
      this.#pending.set(id, { frame: JSON.stringify({ ...frame, id }), resolve, reject, sentOn: undefined })
      this.#transmit()
    })
  }

  /** Sends what waits, as far as it may. */
  #transmit(): void {
    const socket = this.#socket
    if (!socket || !this.#ready) return
    let unanswered = 0
    for (const [id, pending] of this.#pending) {
      if (unanswered === MAX_UNANSWERED) return
      if (pending.sentOn === undefined && !this.#fits(id, pending)) continue
      unanswered += 1
      if (pending.sentOn) continue
      pending.sentOn = socket
      socket.send(pending.frame)
    }
  }

  /** The server would end the connection for a frame that is too large, each time that it came. */
  #fits(id: number, { frame, reject }: Pending): boolean {
    const most = this.#maxFrameBytes
    // No character takes more than three bytes for each of its UTF-16 units.
    if (frame.length * 3 <= most || new TextEncoder().encode(frame).length <= most) return true
    this.#pending.delete(id)
    reject(new RangeError(`the server takes at most ${most} bytes`))
    return false
  }

  async #open(): Promise<void> {
    try {
      this.#token = await this.#options.token()
    } catch (error) {
      if (error instanceof ProblemError && LOGGED_OUT.has(error.status)) this.#finish(AUTHENTICATION_FAILED)
      else this.#later()
      return
    }
    if (this.#closed) return
    const Socket = this.#options.WebSocket ?? WebSocket
    const socket = new Socket(`${this.#options.baseUrl.replace(/^http/, 'ws').replace(/\/$/, '')}/v1/gateway`)
    this.#socket = socket
    this.#deadline = setTimeout(() => this.#lost(socket, 1006), this.#options.connectMs)
    socket.onmessage = ({ data }) => this.#receive(socket, JSON.parse(String(data)) as ServerFrame)
    socket.onclose = ({ code }) => this.#lost(socket, code)
    // Followed by a close, which is what is acted upon.
    socket.onerror = () => {}
  }

  #receive(socket: WebSocket, frame: ServerFrame): void {
    if (socket !== this.#socket) return
    this.#lastHeard = Date.now()
    if (frame.op === 'hello') this.#identify(socket, frame)
    else if (frame.op === 'ready') this.#begin(frame)
    else if (frame.op === 'event') this.#take(socket, frame)
    else if (frame.op === 'reset') this.#restart(frame)
    else if (frame.op === 'reply') this.#settle(frame)
    else socket.close(1000)
  }

  #identify(socket: WebSocket, hello: Hello): void {
    this.#maxFrameBytes = hello.limits.maxFrameBytes
    const cursors = this.#cursors.empty ? {} : { cursors: this.#cursors.toJSON() }
    socket.send(JSON.stringify({ op: 'identify', token: this.#token, ...cursors }))
    const beat = () => {
      // Nothing heard for two beats although each is answered: the connection is dead and nobody said so.
      if (Date.now() - this.#lastHeard > 2.5 * hello.heartbeatMs) this.#lost(socket, 1006)
      else socket.send(JSON.stringify({ op: 'heartbeat', id: 0 }))
    }
    this.#heartbeat = setInterval(beat, hello.heartbeatMs * (0.8 + Math.random() * 0.15))
    this.#refresh = setInterval(() => void this.#renew(socket), REFRESH_EVERY_MS)
  }

  async #renew(socket: WebSocket): Promise<void> {
    const token = await this.#options.token().catch(() => this.#token)
    if (socket !== this.#socket || token === this.#token) return
    this.#token = token
    socket.send(JSON.stringify({ op: 'refresh', token }))
  }

  #begin(ready: Ready): void {
    clearTimeout(this.#deadline)
    this.#failures = 0
    this.#ready = true
    this.#cursors.begin(ready.streams)
    this.#deliveries.begin(ready)
    this.#emitter.emit('ready', ready)
    this.#transmit()
  }

  #take(socket: WebSocket, event: StreamEvent): void {
    if (event.seq !== undefined) {
      const verdict = this.#cursors.take(event.stream, event.seq)
      if (verdict === 'known') return
      // Must not happen; coming back with the cursors mends it.
      if (verdict === 'gap') {
        this.#lost(socket, 1006)
        return
      }
    }
    this.#learn(event)
    this.#emitter.emit('event', event)
    this.#emitter.emit(event.t, event.d as never)
  }

  /** What the events say that concerns the client itself. */
  #learn({ t, d }: StreamEvent): void {
    if (t === 'access.changed') this.#follow(d as Events['access.changed'])
    else if (t === 'conversation.created') {
      const { id, lastSeq } = d as Events['conversation.created']
      this.#cursors.set(`channel:${id}`, lastSeq)
    } else if (t === 'conversation.removed') {
      this.#cursors.delete(`channel:${(d as Events['conversation.removed']).id}`)
    } else if (t === 'message.created' && this.#options.acknowledgeDeliveries) {
      this.#deliveries.take(d as Events['message.created'])
    }
  }

  #deliver(delivery: Delivery): boolean {
    if (!this.#socket || !this.#ready) return false
    this.#socket.send(JSON.stringify({ op: 'delivered', ...delivery }))
    return true
  }

  #follow({ channels, removed }: Events['access.changed']): void {
    for (const id of removed) this.#cursors.delete(`channel:${id}`)
    this.#deliveries.see(channels)
    for (const channel of channels) this.#cursors.set(`channel:${channel.id}`, channel.lastSeq)
  }

  #restart(reset: Reset): void {
    this.#cursors.set(reset.stream, reset.seq)
    this.#emitter.emit('reset', reset)
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id)
    if (!pending) return
    if (!reply.ok && reply.error.status === TOO_MANY) {
      this.#again(pending, reply.error)
      return
    }
    this.#pending.delete(reply.id)
    if (reply.ok) pending.resolve(reply.d)
    else pending.reject(new ProblemError(reply.error))
    this.#transmit()
  }

  #again(pending: Pending, problem: { retryAfter?: number }): void {
    const seconds = problem.retryAfter ?? 1
    const { sentOn } = pending
    setTimeout(
      () => {
        // On another connection it has been sent again already.
        if (pending.sentOn !== sentOn) return
        pending.sentOn = undefined
        this.#transmit()
      },
      seconds * 1000 * (1 + Math.random() / 4),
    )
  }

  #lost(socket: WebSocket, code: number): void {
    if (socket !== this.#socket) return
    this.#forget()
    if (socket.readyState <= 1) socket.close()
    // A token may have run out on its way: one more try, with one that is asked for anew.
    const unwelcome = code === AUTHENTICATION_FAILED && this.#failures > 0
    if (this.#closed || FINAL.has(code) || unwelcome) {
      this.#finish(code)
      return
    }
    this.#emitter.emit('disconnected', { code, final: false })
    this.#later()
  }

  #finish(code: number): void {
    this.#emitter.emit('disconnected', { code, final: true })
    this.#end(`the gateway closed the connection with ${code}`)
  }

  #forget(): void {
    this.#socket = undefined
    this.#ready = false
    clearInterval(this.#heartbeat)
    clearInterval(this.#refresh)
    clearTimeout(this.#deadline)
    for (const pending of this.#pending.values()) pending.sentOn = undefined
  }

  #later(): void {
    if (this.#closed) return
    this.#retry = setTimeout(() => void this.#open(), backoff(this.#failures++, this.#options.reconnect))
  }
}
