import type { Message } from '../generated/types.gen.ts'
import { ProblemError } from '../problem.ts'
import { backoff } from './backoff.ts'
import { Cursors } from './cursors.ts'
import { deferred } from './deferred.ts'
import { Deliveries, type Delivery } from './deliveries.ts'
import { Emitter, type Listener } from './emitter.ts'
import {
  comeBack,
  type Events,
  type Hello,
  type OutgoingMessage,
  type Ready,
  type ReplyData,
  type Reset,
  type ServerFrame,
  type Spoken,
  type StreamEvent,
} from './frames.ts'
import { Inbox } from './inbox.ts'
import { Link } from './link.ts'
import { DEFAULTS, type GatewayEvents, type GatewayOptions } from './options.ts'
import { OwnPresence } from './own-presence.ts'
import { Requests } from './requests.ts'
import { OwnTyping } from './typing.ts'

type Ordered = Ready | Reset | StreamEvent

/** Who hears of everything in the moment when it comes, in the order of the wire, ahead of all listeners. */
export type Follower = {
  ready(ready: Ready): void
  event(event: StreamEvent): void
  /** The connection is gone; another one may follow. */
  lost(): void
  /** There will be none any more. */
  ended(): void
}

const AUTHENTICATION_FAILED = 4003
const TOO_SLOW = 4008
const LOST = 1006
// Whose tokens are refused when they are renewed has to log in again.
const LOGGED_OUT = new Set([401, 403])
// Whoever is told to come back later begins with a pause as after so many failures.
const LATER = 3

/**
 * The gateway's client. It keeps the connection alive, comes back with its cursors after whatever ended it, and hands
 * on every event of every stream once, in order: the next when the promises that listeners returned are settled. What
 * is asked and not yet answered when the connection goes is asked again afterwards; a nonce makes that harmless.
 */
export class GatewayClient {
  readonly #options: GatewayOptions & typeof DEFAULTS
  readonly #urls: string[]
  readonly #emitter = new Emitter<GatewayEvents>()
  readonly #cursors = new Cursors()
  readonly #requests = new Requests()
  readonly #inbox: Inbox<Ordered>
  readonly #deliveries = new Deliveries((delivery) => this.#deliver(delivery))
  readonly #first = deferred<Ready>()
  #link: Link | undefined
  /** What listeners have been given and need time for. */
  #beingHanded: StreamEvent | undefined
  readonly #followers = new Set<Follower>()
  readonly #presence = new OwnPresence((choice) => this.#ask('presence', choice))
  readonly #typing = new OwnTyping()
  #maxFrameBytes = Number.POSITIVE_INFINITY
  #ready = false
  #userId: string | undefined
  #begun = false
  #closed = false
  #attempts = 0
  #failures = 0
  #token: string | undefined
  /** The token that the server would not have, until another one has served. */
  #refused: string | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  readonly #online = () => this.#hurry()

  constructor(options: GatewayOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const query = this.#options.compress ? '?compress=1' : ''
    this.#urls = [options.baseUrl]
      .flat()
      .map((url) => `${url.replace(/^http/, 'ws').replace(/\/$/, '')}/v1/gateway${query}`)
    this.#inbox = new Inbox((frame) => this.#hand(frame), this.#options.maxWaiting)
  }

  /** Answers how to stop listening. While the promise that a listener returns is pending, nothing more is handed on. */
  on<K extends keyof GatewayEvents>(name: K, listener: Listener<GatewayEvents[K]>): () => void {
    return this.#emitter.on(name, listener)
  }

  /** Whose connection it is, once it was ready. */
  get userId(): string | undefined {
    return this.#userId
  }

  /** How far listeners are done with each stream: what a later client can begin from. */
  get cursors(): Record<string, number> {
    const all = this.#cursors.toJSON()
    const { stream, seq } = this.#beingHanded ?? {}
    return stream !== undefined && seq !== undefined && all[stream] === seq ? { ...all, [stream]: seq - 1 } : all
  }

  /** Connects, and from then on stays connected. Resolves with the first `ready`; once only. */
  connect(cursors?: Record<string, number>): Promise<Ready> {
    if (this.#begun || this.#closed) return Promise.reject(new Error('a gateway client connects once'))
    this.#begun = true
    for (const [stream, seq] of Object.entries(cursors ?? {})) this.#cursors.set(stream, seq)
    globalThis.addEventListener?.('online', this.#online)
    void this.#open()
    return this.#first.promise
  }

  /**
   * Sends a message and answers it as it was stored. Survives disconnections: it is sent again, with the same nonce,
   * until the server has answered.
   * @throws ProblemError when the server refuses it, RangeError when it is larger than the server takes at all.
   */
  send(message: OutgoingMessage): Promise<Message> {
    this.#typing.sent(message.channelId)
    return this.#ask('message.send', { nonce: nonce(), ...message })
  }

  /** Says how far one has read a channel; answers how far that is now. */
  read(mark: Spoken<'read'>): Promise<ReplyData['read']> {
    return this.#ask('read', mark)
  }

  /**
   * Says how one is there, on this connection and those that follow it; answers what one's account is then, with its
   * other devices. Before `connect` it counts from the first moment on.
   * @throws ProblemError when the server refuses it: it is as before then
   */
  setPresence(presence: Spoken<'presence'>): Promise<ReplyData['presence']> {
    return this.#presence.set(presence)
  }

  /** To be called at each key: says now and then that one is writing, if there is a connection; later it would not be true. */
  typing(channelId: string): void {
    if (this.#ready && this.#typing.isNews(channelId)) this.#link?.send(JSON.stringify({ op: 'typing', channelId }))
  }

  /**
   * For what has a state of its own on the server and is told at once, such as calls: what comes is heard here whether
   * or not listeners are busy. Answers how to stop.
   */
  follow(follower: Follower): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  /**
   * Asks on the connection that is there, and on no other. `taken` is given the answer ahead of all that follows it.
   * @throws ProblemError when the server refuses it, ConnectionLost when there is no connection or it goes meanwhile
   */
  askOnce<K extends keyof ReplyData>(
    op: K,
    words: Spoken<K>,
    taken?: (answer: ReplyData[K]) => void,
  ): Promise<ReplyData[K]> {
    if (this.#closed) return Promise.reject(new Error('the gateway client was closed'))
    const once = { taken: taken as ((answer: unknown) => void) | undefined }
    return this.#requests.ask({ op, ...words }, once) as Promise<ReplyData[K]>
  }

  /** Ends the connection for good; what is unanswered fails. */
  close(): void {
    this.#leave()
    this.#end(new Error('the gateway client was closed'))
  }

  #ask<K extends keyof ReplyData>(op: K, words: object): Promise<ReplyData[K]> {
    if (this.#closed) return Promise.reject(new Error('the gateway client was closed'))
    return this.#requests.ask({ op, ...words }) as Promise<ReplyData[K]>
  }

  async #open(): Promise<void> {
    try {
      this.#token = await this.#options.token(this.#refused)
    } catch (error) {
      if (error instanceof ProblemError && LOGGED_OUT.has(error.status)) this.#finish(AUTHENTICATION_FAILED)
      else this.#soon(this.#pause())
      return
    }
    if (this.#closed) return
    try {
      this.#link = this.#connect(this.#token)
    } catch (error) {
      // An address that is none, or no WebSocket at all: the next time would be no better.
      this.#end(error as Error)
    }
  }

  #connect(token: string): Link {
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket
    if (!Socket) throw new Error('there is no WebSocket here: give one as an option')
    const socket = new Socket(this.#urls[this.#attempts++ % this.#urls.length]!)
    const events = {
      greeted: (hello: Hello) => this.#introduce(hello),
      received: (frame: Exclude<ServerFrame, Hello>) => this.#receive(frame),
      lost: (code: number) => this.#lost(code),
      renewed: async () => {
        this.#token = await this.#options.token()
        return this.#token
      },
    }
    return new Link(socket, events, token, this.#options.connectMs)
  }

  #introduce({ limits }: Hello): object {
    this.#maxFrameBytes = limits.maxFrameBytes
    const presence = this.#presence.introduction
    return {
      ...(this.#cursors.empty ? {} : { cursors: this.#cursors.toJSON() }),
      ...(presence ? { presence } : {}),
    }
  }

  #receive(frame: Exclude<ServerFrame, Hello>): void {
    if (frame.op === 'event') for (const follower of this.#followers) follower.event(frame)
    if (frame.op === 'event' || frame.op === 'reset') this.#queue(frame)
    else if (frame.op === 'ready') this.#begin(frame)
    else if (frame.op === 'reconnect') this.#move()
    else if (frame.op === 'reply') {
      this.#failures = 0
      this.#requests.settle(frame)
    }
  }

  #begin(ready: Ready): void {
    const link = this.#link
    if (!link) return
    this.#refused = undefined
    this.#cursors.begin(ready.streams)
    this.#deliveries.begin(ready)
    this.#ready = true
    this.#userId = ready.user.id
    this.#requests.begin(link, this.#maxFrameBytes)
    for (const follower of this.#followers) follower.ready(ready)
    this.#queue(ready)
  }

  /** Once too much waits, all of that is handed on, and the rest is fetched by coming back for it. */
  #queue(frame: Ordered): void {
    if (this.#inbox.push(frame)) return
    this.#leave()
    this.#emitter.emit('disconnected', { code: TOO_SLOW, final: false })
    void this.#inbox.idle().then(() => this.#soon(this.#pause()))
  }

  #hand(frame: Ordered): Promise<unknown> | undefined {
    try {
      return this.#deal(frame)
    } catch {
      // Not of the shape that its name promises: whoever sends it is not to be listened to.
      this.#lost(LOST)
      return undefined
    }
  }

  #deal(frame: Ordered): Promise<unknown> | undefined {
    if (frame.op === 'event') return this.#take(frame)
    if (frame.op === 'ready') {
      this.#first.resolve(frame)
      return this.#emitter.emit('ready', frame)
    }
    this.#cursors.set(frame.stream, frame.seq)
    return this.#emitter.emit('reset', frame)
  }

  #take(event: StreamEvent): Promise<unknown> | undefined {
    if (event.seq !== undefined) {
      const verdict = this.#cursors.take(event.stream, event.seq)
      if (verdict === 'known') return undefined
      // Must not happen; coming back with the cursors mends it.
      if (verdict === 'gap') {
        this.#lost(LOST)
        return undefined
      }
      this.#failures = 0
    }
    this.#learn(event)
    const busy = [this.#emitter.emit('event', event), this.#emitter.emit(event.t, event.d as never)]
    if (!busy[0] && !busy[1]) return undefined
    this.#beingHanded = event
    return Promise.all(busy).finally(() => {
      this.#beingHanded = undefined
    })
  }

  /** What the events say that concerns the client itself. */
  #learn({ t, d }: StreamEvent): void {
    if (t === 'access.changed') this.#follow(d)
    else if (t === 'conversation.created') this.#cursors.set(`channel:${d.id}`, d.lastSeq)
    else if (t === 'conversation.removed') this.#cursors.delete(`channel:${d.id}`)
    else if (t === 'message.created' && this.#options.acknowledgeDeliveries) this.#deliveries.take(d)
  }

  #follow({ channels, removed }: Events['access.changed']): void {
    for (const id of removed) this.#cursors.delete(`channel:${id}`)
    this.#deliveries.see(channels)
    for (const channel of channels) this.#cursors.set(`channel:${channel.id}`, channel.lastSeq)
  }

  #deliver(delivery: Delivery): boolean {
    if (!this.#link || !this.#ready) return false
    this.#link.send(JSON.stringify({ op: 'delivered', ...delivery }))
    return true
  }

  /** The server drains: another one takes over at once, but not of everybody in the same moment. */
  #move(): void {
    this.#leave()
    this.#inbox.clear()
    this.#emitter.emit('disconnected', { code: 1001, final: false })
    this.#soon(Math.random() * this.#options.reconnect.firstMs)
  }

  #lost(code: number): void {
    this.#leave()
    // What was not handed on comes again.
    this.#inbox.clear()
    if (this.#closed) return
    const advice = (comeBack as Record<number, string>)[code]
    // A token may have run out on its way: one more try, with one that is asked for anew.
    const unwelcome = advice === 'newToken' && this.#refused !== undefined
    if (advice === 'never' || unwelcome) {
      this.#finish(code)
      return
    }
    if (advice === 'newToken') this.#refused = this.#token
    if (advice === 'later') this.#failures = Math.max(this.#failures, LATER)
    this.#emitter.emit('disconnected', { code, final: false })
    this.#soon(this.#pause())
  }

  #finish(code: number): void {
    this.#emitter.emit('disconnected', { code, final: true })
    this.#end(new Error(`the gateway closed the connection with ${code}`))
  }

  #end(reason: Error): void {
    if (this.#closed) return
    this.#closed = true
    globalThis.removeEventListener?.('online', this.#online)
    clearTimeout(this.#retry)
    this.#inbox.clear()
    this.#deliveries.stop()
    this.#requests.end(reason)
    for (const follower of this.#followers) follower.ended()
    this.#first.promise.catch(() => {})
    this.#first.reject(reason)
  }

  /** Lets the connection go. */
  #leave(): void {
    const wasReady = this.#ready
    this.#link?.end()
    this.#link = undefined
    this.#ready = false
    this.#requests.pause()
    if (wasReady) for (const follower of this.#followers) follower.lost()
  }

  #pause(): number {
    return backoff(this.#failures++, this.#options.reconnect)
  }

  #soon(pauseMs: number): void {
    if (this.#closed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      void this.#open()
    }, pauseMs)
  }

  /** The network is back: no reason to wait any longer. */
  #hurry(): void {
    if (this.#retry !== undefined) this.#soon(0)
  }
}

/** `crypto.randomUUID` exists in pages with TLS only. */
const nonce = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
