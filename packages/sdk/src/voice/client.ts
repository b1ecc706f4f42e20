import { backoff } from '../gateway/backoff.ts'
import { Emitter, type Listener } from '../gateway/emitter.ts'
import type { StreamEvent } from '../gateway/frames.ts'
import { VoiceBoard } from './board.ts'
import { Call } from './call.ts'
import { OwnDevice } from './device.ts'
import type { PublishOptions } from './encodings.ts'
import type { CallEnding, CallState, PublicationEnding, VoiceEvents } from './events.ts'
import { faultOf } from './faults.ts'
import type { Speaker, VoiceProducer, VoiceState, VoiceStats } from './frames.ts'
import { IceSource } from './ice.ts'
import { type Line, lineOf } from './line.ts'
import { DEFAULTS, type VoiceOptions } from './options.ts'
import { OwnPublication, type Publication } from './publication.ts'
import { Reception } from './reception.ts'
import type { SubscribeOptions, Subscription } from './subscription.ts'

/**
 * Calls, over the connection of a gateway client. It comes back into the call after whatever interrupts it, with
 * everything that one sends and receives. Devices stay the application's: it takes tracks and gives tracks, and never
 * stops one that it was given. One is in one call at a time.
 */
export class VoiceClient {
  readonly #options: VoiceOptions & typeof DEFAULTS
  readonly #emitter = new Emitter<VoiceEvents>()
  readonly #board = new VoiceBoard(this.#emitter)
  readonly #publications = new Set<OwnPublication>()
  readonly #reception: Reception
  readonly #device: OwnDevice
  readonly #ice: IceSource
  readonly #line: Line
  readonly #unfollow: () => void
  #call: Call | undefined
  #muted = false
  #deafened = false

  constructor(options: VoiceOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const { gateway, autoSubscribe = false } = options
    this.#line = lineOf(gateway)
    this.#ice = new IceSource(options)
    this.#device = new OwnDevice(options.handlerFactory)
    this.#reception = new Reception({
      emitter: this.#emitter,
      userId: () => gateway.userId,
      isWanted: (producer) => (typeof autoSubscribe === 'function' ? autoSubscribe(producer) : autoSubscribe),
      changed: () => this.#call?.kick(),
    })
    this.#unfollow = gateway.follow({
      ready: (ready) => {
        this.#board.begin(ready)
        this.#call?.connected()
      },
      event: (event) => this.#hear(event),
      lost: () => this.#call?.disconnected(),
      ended: () => this.#call?.end('gatewayEnded'),
    })
  }

  /** Answers how to stop listening. Nobody is waited for. */
  on<K extends keyof VoiceEvents>(name: K, listener: Listener<VoiceEvents[K]>): () => void {
    return this.#emitter.on(name, listener)
  }

  get state(): CallState {
    return this.#call?.state ?? 'idle'
  }

  /** The channel of the call that one is in, or about to be in. */
  get channelId(): string | undefined {
    return this.#call?.channelId
  }

  /** Who is in the calls of all channels that one sees, or of one; also while one is in none. */
  states(channelId?: string): VoiceState[] {
    return this.#board.states(channelId)
  }

  stateOf(userId: string): VoiceState | undefined {
    return this.#board.stateOf(userId)
  }

  /** What the others send into the call. */
  get producers(): VoiceProducer[] {
    return [...this.#reception.producers.values()]
  }

  get speakers(): readonly Speaker[] {
    return this.#reception.speakers
  }

  get publications(): Publication[] {
    return [...this.#publications].filter(({ ended }) => !ended)
  }

  get subscriptions(): Subscription[] {
    return this.#reception.all().filter(({ isActive }) => isActive)
  }

  get selfMuted(): boolean {
    return this.#muted
  }

  get selfDeafened(): boolean {
    return this.#deafened
  }

  /**
   * Goes into the call of a channel, out of the one before; what one sends is sent there then.
   * @throws ProblemError when the server refuses it, or calls can't be made for longer than `joinMs`; Error when the call
   * is over before one was in it, UnsupportedError where there is no WebRTC
   */
  join(channelId: string): Promise<void> {
    return this.#call?.channelId === channelId ? this.#call.joined : this.#go(channelId, 'left')
  }

  /** Ends the call on this side at once; what was sent and received is over. */
  leave(): void {
    const call = this.#call
    if (!call) return
    this.#sayLeft()
    call.end('left')
  }

  /**
   * Sends a track into the call that one is in, and into those that one is moved to. Resolves when the server has it.
   * @throws ProblemError when the server refuses it
   */
  publish(track: MediaStreamTrack, options: PublishOptions): Promise<Publication> {
    if (!this.#call) return Promise.reject(new Error('one is in no call'))
    const muted = options.muted ?? (options.source === 'microphone' && this.#muted)
    const publication = new OwnPublication(track, { ...options, muted }, this.#owner)
    this.#publications.add(publication)
    this.#call.kick()
    return publication.live
  }

  /** Receives what somebody sends. Resolves when its track is there; later ones are told by the event `track`. */
  async subscribe(producerId: string, options: SubscribeOptions = {}): Promise<Subscription> {
    return this.#reception.open(producerId, options).live
  }

  /** Mutes all microphones that one sends, and those to come. */
  setSelfMuted(muted: boolean): void {
    this.#muted = muted
    for (const one of this.#publications) {
      if (one.source !== 'microphone') continue
      if (muted) one.mute()
      else one.unmute()
    }
  }

  /** Hears nobody, in this call and those to come. Others see it; whether one can be heard is another matter. */
  setSelfDeafened(deafened: boolean): void {
    this.#deafened = deafened
    this.#call?.kick()
  }

  /** How the media fares, as the server measures it. @throws ProblemError, ConnectionLost */
  serverStats(): Promise<VoiceStats> {
    return this.#line('voice.stats', {})
  }

  /** How the media fares, as the browser measures it: of each direction that there is. */
  async transportStats(): Promise<{ send?: RTCStatsReport; recv?: RTCStatsReport }> {
    const [send, recv] = await Promise.all(
      (['send', 'recv'] as const).map((direction) => this.#call?.media.get(direction)?.transport.getStats()),
    )
    return { ...(send ? { send } : {}), ...(recv ? { recv } : {}) }
  }

  /** Leaves, and listens no more. The gateway client goes on. */
  close(): void {
    this.leave()
    this.#unfollow()
  }

  readonly #owner = {
    changed: () => this.#call?.kick(),
    ended: (publication: OwnPublication, reason: PublicationEnding, error?: Error) => {
      // What the server has of it is closed in the call's next turn, which drops it.
      this.#emitter.emit('publicationEnded', { publication, reason, ...(error ? { error } : {}) })
    },
  }

  #hear(event: StreamEvent): void {
    this.#board.hear(event)
    const { t, d } = event
    if (!isOfCall(t) || !this.#call || (d as { channelId: string }).channelId !== this.#call.channelId) return
    if (t === 'voice.moved') this.#move(this.#call, d.to)
    else this.#call.hear(event)
  }

  #move(call: Call, to: string): void {
    this.#emitter.emit('moved', { from: call.channelId, to })
    if (this.#call !== call) return
    if (this.#options.followMoves) void this.#go(to, 'moved').catch(() => {})
    else call.end('moved')
  }

  /** What is sent goes along. */
  #go(channelId: string, reason: CallEnding): Promise<void> {
    const before = this.#call
    const call = this.#enter(channelId)
    this.#call = call
    before?.end(reason)
    this.#emitter.emit('state', { state: call.state, channelId })
    call.kick()
    return call.joined
  }

  #enter(channelId: string): Call {
    const call: Call = new Call(channelId, {
      line: this.#line,
      ice: this.#ice,
      device: this.#device,
      reception: this.#reception,
      publications: this.#publications,
      options: this.#options,
      isDeafened: () => this.#deafened,
      changed: () => this.#emitter.emit('state', { state: call.state, channelId }),
      interrupted: (media) => this.#emitter.emit('interrupted', { channelId, media }),
      recovered: (resumed) => this.#emitter.emit('recovered', { channelId, resumed }),
      // Another call that one has gone into meanwhile has taken its place on the server as well.
      inAfterAll: () => {
        if (!this.#call) this.#sayLeft()
      },
      over: (reason, error) => this.#over(call, reason, error),
    })
    return call
  }

  /** Again where it is refused for the moment: else one would be in the call for as long as one is connected. */
  #sayLeft(failures = 0): void {
    const heard = () => {
      // Asked before joining, it is answered before that; later, it was said again, and has ended the call after it.
      if (this.#call?.state === 'joined') this.#call.connected()
    }
    this.#line('voice.leave', {}, heard).catch((error: unknown) => {
      if (faultOf(error) !== 'later') return
      const again = () => {
        if (!this.#call) this.#sayLeft(failures + 1)
      }
      setTimeout(again, backoff(failures, this.#options.reconnect))
    })
  }

  #over(call: Call, reason: CallEnding, error?: Error): void {
    const { channelId } = call
    if (this.#call === call) {
      this.#call = undefined
      // The server may have let one in before this side gave up.
      if (reason === 'refused' || reason === 'unsupported') this.#sayLeft()
      for (const one of this.#publications) one.end('callEnded')
      this.#publications.clear()
      this.#emitter.emit('state', { state: 'idle', channelId: undefined })
    }
    this.#emitter.emit('ended', { channelId, reason, ...(error ? { error } : {}) })
  }
}

const OF_CALL = new Set([
  'voice.producerAdded',
  'voice.producerUpdated',
  'voice.producerRemoved',
  'voice.producerWatched',
  'voice.activeSpeakers',
  'voice.moved',
  'voice.interrupted',
  'voice.ended',
])
const isOfCall = (t: string): boolean => OF_CALL.has(t)
