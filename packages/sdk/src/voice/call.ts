import type { RtpCapabilities } from 'mediasoup-client/types'
import { backoff } from '../gateway/backoff.ts'
import { type Deferred, deferred } from '../gateway/deferred.ts'
import type { Spoken, StreamEvent } from '../gateway/frames.ts'
import type { OwnDevice } from './device.ts'
import type { CallEnding, CallState } from './events.ts'
import { asError, faultOf } from './faults.ts'
import type { VoiceJoined } from './frames.ts'
import type { IceSource } from './ice.ts'
import type { Line } from './line.ts'
import { Media } from './media.ts'
import { closeProducer, type OwnPublication } from './publication.ts'
import type { Reception } from './reception.ts'

export type CallDeps = {
  line: Line
  ice: IceSource
  device: OwnDevice
  reception: Reception
  publications: Set<OwnPublication>
  options: { reconnect: { firstMs: number; longestMs: number }; joinMs: number; iceRestartMs: number }
  isDeafened(): boolean
  /** The state is another one. */
  changed(): void
  interrupted(media: boolean): void
  recovered(resumed: boolean): void
  /** It was over before the server let one in. */
  inAfterAll(): void
  /** It is over for good. */
  over(reason: CallEnding, error?: Error): void
}

/**
 * Being in the call of one channel, from joining to the end. What one wants of it (to be there, to send, to receive, to
 * be deaf) is written down elsewhere; whatever happens, a turn makes what the server has the same as that. So there is
 * one way for the first time and for coming back.
 */
export class Call {
  readonly #joined: Deferred<void> = deferred()
  readonly #began = performance.now()
  readonly #media: Media
  /** What one sends by the server's account alone: the answer never came, or it was closed meanwhile. */
  readonly #surplus = new Set<string>()
  #participantId: string | undefined
  /** The server is to be asked to be let in (again), before anything else. */
  #stale = true
  #wasIn = false
  #saidDeafened: boolean | undefined
  #over = false
  #connected = true
  #working = false
  #again = false
  #failures = 0
  #retry: ReturnType<typeof setTimeout> | undefined

  constructor(
    readonly channelId: string,
    private readonly deps: CallDeps,
  ) {
    const { line, ice, options, device } = deps
    this.#media = new Media({
      ...{ line, ice, iceRestartMs: options.iceRestartMs },
      device: () => device.device,
      gone: () => this.#rejoin(),
    })
    this.#joined.promise.catch(() => {})
  }

  /** Resolves when one is in it for the first time. */
  get joined(): Promise<void> {
    return this.#joined.promise
  }

  get state(): Exclude<CallState, 'idle'> {
    if (!this.#wasIn) return 'joining'
    return this.#stale ? 'interrupted' : 'joined'
  }

  get media(): Media {
    return this.#media
  }

  /** Something is wanted other than it is. */
  kick(): void {
    this.#again = true
    if (!this.#working) void this.#work()
  }

  connected(): void {
    this.#connected = true
    this.#failures = 0
    clearTimeout(this.#retry)
    this.#retry = undefined
    this.#rejoin()
  }

  disconnected(): void {
    this.#connected = false
    this.#interrupt(true)
  }

  hear({ t, d }: StreamEvent): void {
    if (t === 'voice.interrupted') {
      this.#interrupt(d.media)
      this.kick()
    } else if (t === 'voice.ended') {
      if (d.rejoin) this.#comeAgain()
      else this.end(d.reason)
    } else if (t === 'voice.producerWatched') {
      for (const one of this.deps.publications) if (one.producerId === d.producerId) one.watch(d.watched)
    } else if (t === 'voice.producerRemoved') {
      // One's own as well: it is sent anew, unless the server doesn't want that.
      for (const one of this.deps.publications) if (one.producerId === d.producerId) one.lost()
      this.deps.reception.remove(d.producerId)
      this.kick()
    } else this.deps.reception.hear({ t, d } as StreamEvent)
  }

  /** Ends it on this side. */
  end(reason: CallEnding, error?: Error): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#retry)
    this.#media.close()
    for (const one of this.deps.publications) one.lost()
    this.deps.reception.clear()
    this.#joined.reject(error ?? new Error(`the call is over: ${reason}`))
    this.deps.over(reason, error)
  }

  #interrupt(media: boolean): void {
    if (this.#over) return
    const wasStale = this.#stale
    this.#stale = true
    if (wasStale || !this.#wasIn) return
    this.deps.interrupted(media)
    this.deps.changed()
  }

  #rejoin(): void {
    this.#interrupt(true)
    this.kick()
  }

  /** The participation is over, and another one may help: after a pause, for all others are told the same. */
  #comeAgain(): void {
    this.#participantId = undefined
    this.#interrupt(false)
    this.#later()
  }

  async #work(): Promise<void> {
    this.#working = true
    // What was kicked in the same moment is done in one go.
    await Promise.resolve()
    while (this.#again && !this.#over && this.#connected && this.#retry === undefined) {
      this.#again = false
      await this.#turn()
    }
    this.#working = false
  }

  async #turn(): Promise<void> {
    try {
      if (this.#stale) await this.#enter()
      if (this.#over || this.#stale) return
      const { publications, reception, line } = this.deps
      const settled = await Promise.all([
        this.#attend(
          () => this.#sayDeafened(),
          () => {},
        ),
        ...[...this.#surplus].map((id) => this.#closeSurplus(id)),
        ...[...publications].map((one) => this.#attendTo(one)),
        ...reception.all().map((one) =>
          this.#attend(
            () => one.settle(this.#media, line),
            (error) => reception.fail(one, error),
          ),
        ),
      ])
      if (settled.every((went) => went)) this.#failures = 0
    } catch (error) {
      this.#mishap(error, (fatal) => this.end(this.#wasIn ? 'refused' : reasonOf(fatal), fatal))
    }
  }

  async #attendTo(one: OwnPublication): Promise<boolean> {
    const { line, device, publications } = this.deps
    const went = await this.#attend(
      () => one.settle(this.#media, { line, device: () => device.device }),
      (error) => one.end('refused', error),
    )
    // Ended while something else of it was said, it is for the next turn.
    if (one.isGone) publications.delete(one)
    return went
  }

  /** Answers whether it went well. */
  async #attend(work: () => Promise<void>, failed: (error: Error) => void): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.#mishap(error, failed)
      return false
    }
  }

  #mishap(error: unknown, fatal: (error: Error) => void): void {
    if (this.#over) return
    const fault = faultOf(error)
    const tooLong = !this.#wasIn && performance.now() - this.#began > this.deps.options.joinMs
    if (fault === 'final') fatal(asError(error))
    else if (tooLong && fault !== 'lost') this.end('refused', asError(error))
    // With the next connection it goes on.
    else if (fault !== 'lost') {
      // Noticed before it was told: of what was sent and received at least a part is gone.
      if (fault === 'rejoin') this.#interrupt(false)
      this.#later()
    }
  }

  #later(): void {
    this.#again = true
    clearTimeout(this.#retry)
    const pause = backoff(this.#failures++, this.deps.options.reconnect)
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.kick()
    }, pause)
  }

  async #enter(): Promise<void> {
    const { device } = this.deps
    const told = device.capabilities ?? { codecs: [] }
    const first = await this.#ask(told)
    // What can be received is known only by what the server has: it is told afterwards, the first time.
    const own = await device.load(first.rtpCapabilities as RtpCapabilities)
    const isOther = JSON.stringify(own) !== JSON.stringify(told)
    if (isOther && !this.#over) await this.#ask(own)
    if (this.#over || this.#stale) return
    this.#media.wake()
    this.#failures = 0
    const isBack = this.#wasIn
    this.#wasIn = true
    this.deps.changed()
    if (isBack) this.deps.recovered(first.resumed)
    this.#joined.resolve()
  }

  #ask(rtpCapabilities: RtpCapabilities): Promise<VoiceJoined> {
    const selfDeafened = this.deps.isDeafened()
    const resume = this.#participantId === undefined ? {} : { resume: this.#participantId }
    const words = { channelId: this.channelId, rtpCapabilities, selfDeafened, ...resume } as Spoken<'voice.join'>
    return this.deps.line('voice.join', words, (joined) => {
      if (this.#over) this.deps.inAfterAll()
      else this.#take(joined, selfDeafened)
    })
  }

  /** In the moment of the answer: what comes after it is news. */
  #take(joined: VoiceJoined, deafened: boolean): void {
    const { publications, reception } = this.deps
    const { transports, producerIds, consumerIds } = joined.kept
    this.#participantId = joined.participantId
    this.#stale = false
    this.#saidDeafened = deafened
    this.#media.keep(new Set(transports.map(({ id }) => id)))
    this.#surplus.clear()
    for (const id of producerIds) this.#surplus.add(id)
    for (const one of publications) {
      if (one.producerId === undefined || !this.#surplus.delete(one.producerId)) one.lost()
      one.forget()
    }
    reception.restate(joined.producers, new Set(consumerIds))
  }

  #closeSurplus(id: string): Promise<boolean> {
    return this.#attend(
      async () => {
        await closeProducer(this.deps.line, id)
        this.#surplus.delete(id)
      },
      () => {},
    )
  }

  async #sayDeafened(): Promise<void> {
    const deafened = this.deps.isDeafened()
    if (this.#saidDeafened === deafened) return
    await this.deps.line(deafened ? 'voice.pause' : 'voice.resume', {})
    this.#saidDeafened = deafened
  }
}

const reasonOf = (error: Error): CallEnding => (error.name === 'UnsupportedError' ? 'unsupported' : 'refused')
