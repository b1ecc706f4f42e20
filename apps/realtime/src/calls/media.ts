import type {
  DtlsParameters,
  RtpCapabilities,
  RtpParameters,
  VoiceDirection,
  VoiceKind,
  VoiceSource,
} from '@conntext/contracts'
import { AppError } from '@conntext/kernel'
import type { Consumer, Producer, WebRtcTransport, RtpCapabilities as WorkerRtpCapabilities } from 'mediasoup/types'
import type { Room } from '../media/room.ts'
import { voiceErrors } from './errors.ts'
import { forWorker } from './translate.ts'

/** How long a client may say nothing on a transport until its media counts as gone, in seconds. */
const ICE_CONSENT_S = 20
const FIRST_BITRATE = 800_000
/** What headers take beside the sound itself. */
const AUDIO_OVERHEAD = 32_000

export type Carrier = {
  transport: WebRtcTransport
  direction: VoiceDirection
  connectedWith?: string
  /** What the client was told to send at most, in bits per second; 0 for any. */
  cap: number
}
export type Outgoing = { producer: Producer; source: VoiceSource; selfPaused: boolean }
/** `counted`: as one who receives what the producer sends. */
export type Incoming = { consumer: Consumer; selfPaused: boolean; counted: boolean }

export type MediaHooks = {
  /** A producer is over, whatever the reason. */
  producerClosed(producerId: string): void
  /** One more receives a producer by now, or one fewer. */
  received(producerId: string, by: 1 | -1): void
}

/** What one participant sends and receives, on one room. With the room's worker it is all gone. */
export class Media {
  readonly carriers = new Map<string, Carrier>()
  readonly outgoing = new Map<string, Outgoing>()
  readonly incoming = new Map<string, Incoming>()
  readonly #consuming = new Map<string, string>()
  #closed = false

  constructor(
    readonly room: Room,
    private readonly hooks: MediaHooks,
  ) {}

  get closed(): boolean {
    return this.#closed || this.room.router.closed
  }

  /** Whether the client's media gets here, or gets there. */
  get flows(): boolean {
    return [...this.carriers.values()].some(
      ({ transport: { iceState, dtlsState } }) =>
        dtlsState === 'connected' && (iceState === 'connected' || iceState === 'completed'),
    )
  }

  close(): void {
    this.#closed = true
    for (const { transport } of this.carriers.values()) transport.close()
    this.carriers.clear()
  }

  /** Takes the place of the one before, with what was on it. */
  async createTransport(direction: VoiceDirection): Promise<WebRtcTransport> {
    const { room } = this
    const transport = await this.#ask(() =>
      room.router.createWebRtcTransport({
        webRtcServer: room.seat.server,
        enableUdp: true,
        enableTcp: true,
        preferUdp: true,
        initialAvailableOutgoingBitrate: FIRST_BITRATE,
        iceConsentTimeout: ICE_CONSENT_S,
      }),
    )
    this.#keepOrClose(transport)
    for (const { transport: before, direction: its } of [...this.carriers.values()]) {
      if (its === direction) before.close()
    }
    this.carriers.set(transport.id, { transport, direction, cap: 0 })
    transport.observer.once('close', () => this.carriers.delete(transport.id))
    return transport
  }

  /** Again with the same parameters it changes nothing. */
  async connect(transportId: string, dtlsParameters: DtlsParameters): Promise<void> {
    const carrier = this.carrier(transportId)
    const text = JSON.stringify(dtlsParameters)
    if (carrier.connectedWith === text) return
    if (carrier.connectedWith !== undefined) throw voiceErrors.alreadyConnected()
    await this.#ask(() => carrier.transport.connect({ dtlsParameters: JSON.parse(text) }))
    carrier.connectedWith = text
  }

  carrier(transportId: string, direction?: VoiceDirection): Carrier {
    const carrier = this.carriers.get(transportId)
    if (!carrier) throw voiceErrors.noSuchTransport()
    if (direction !== undefined && carrier.direction !== direction) throw voiceErrors.wrongDirection()
    return carrier
  }

  async produce(
    transportId: string,
    given: { kind: VoiceKind; source: VoiceSource; rtpParameters: RtpParameters; paused: boolean; held: boolean },
  ): Promise<Producer> {
    const { transport } = this.carrier(transportId, 'send')
    const { kind, source, rtpParameters, paused, held } = given
    const producer = await this.#ask(() =>
      transport.produce({ kind, rtpParameters: forWorker(rtpParameters), paused: paused || held }),
    )
    this.#keepOrClose(producer)
    this.outgoing.set(producer.id, { producer, source, selfPaused: paused })
    producer.observer.once('close', () => {
      this.outgoing.delete(producer.id)
      this.hooks.producerClosed(producer.id)
    })
    return producer
  }

  /**
   * Has the client send no more than so many bits per second of each sound, by its congestion control; while it shows
   * something as well, it is not held back. Null: any.
   */
  async capAudio(bitrate: number | null): Promise<void> {
    const sent = [...this.outgoing.values()]
    const isAudio = sent.length > 0 && sent.every(({ producer }) => producer.kind === 'audio')
    const cap = isAudio && bitrate !== null ? sent.length * (bitrate + AUDIO_OVERHEAD) : 0
    for (const carrier of this.carriers.values()) {
      if (carrier.direction !== 'send' || carrier.cap === cap) continue
      carrier.cap = cap
      try {
        await carrier.transport.setMaxIncomingBitrate(cap)
      } catch (error) {
        if (!carrier.transport.closed && !this.closed) throw error
      }
    }
  }

  /** What is received already is answered again. */
  async consume(transportId: string, producerId: string, rtpCapabilities: RtpCapabilities): Promise<Consumer> {
    const { room } = this
    const { transport } = this.carrier(transportId, 'recv')
    const known = this.incoming.get(this.#consuming.get(producerId) ?? '')
    if (known) return known.consumer
    const capabilities = structuredClone(rtpCapabilities) as unknown as WorkerRtpCapabilities
    if (!canConsume(room, producerId, capabilities)) throw voiceErrors.cannotConsume()
    const consumer = await this.#ask(() =>
      transport.consume({ producerId, rtpCapabilities: capabilities, paused: true }),
    )
    this.#keepOrClose(consumer)
    room.seat.consumers += 1
    const incoming = { consumer, selfPaused: true, counted: false }
    this.incoming.set(consumer.id, incoming)
    this.#consuming.set(producerId, consumer.id)
    consumer.observer.once('close', () => {
      this.recount(incoming)
      room.seat.consumers -= 1
      this.incoming.delete(consumer.id)
      this.#consuming.delete(producerId)
    })
    return consumer
  }

  /** Tells whether something is received by now, where that is otherwise than before. */
  recount(incoming: Incoming): void {
    const { consumer } = incoming
    const received = !consumer.closed && !consumer.paused
    if (received === incoming.counted) return
    incoming.counted = received
    this.hooks.received(consumer.producerId, received ? 1 : -1)
  }

  /** What arrived after everything was closed is closed as well. */
  #keepOrClose(made: { closed: boolean; close(): void }): void {
    if (!this.closed && !made.closed) return
    made.close()
    throw voiceErrors.noMedia()
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    if (this.closed) throw voiceErrors.noMedia()
    try {
      return await question()
    } catch (error) {
      throw this.closed ? voiceErrors.noMedia() : refusedByMediasoup(error)
    }
  }
}

function canConsume(room: Room, producerId: string, rtpCapabilities: WorkerRtpCapabilities): boolean {
  try {
    return room.router.canConsume({ producerId, rtpCapabilities })
  } catch (error) {
    throw refusedByMediasoup(error)
  }
}

/** mediasoup refuses by errors of several kinds, which say what is wrong with what the client gave. */
export function refusedByMediasoup(error: unknown): AppError {
  if (error instanceof AppError) return error
  const detail = error instanceof Error ? error.message.slice(0, 200) : 'It is not supported.'
  return voiceErrors.invalidMedia({ detail, cause: error })
}
