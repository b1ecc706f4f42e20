import type { Device } from 'mediasoup-client'
import type { Transport, TransportOptions } from 'mediasoup-client/types'
import type { Spoken } from '../gateway/frames.ts'
import { ProblemError } from '../problem.ts'
import { Carrier, type CarrierDeps } from './carrier.ts'
import { TransportGone } from './faults.ts'
import type { VoiceSource } from './frames.ts'

export type MediaDeps = CarrierDeps & { device: () => Device }
/** What goes along with a producer until the server has it. */
export type Produced = { source: VoiceSource; paused: boolean }

type Direction = 'send' | 'recv'
type Produce = Spoken<'voice.produce'>

/** The two directions of a participation's media; each is made when something needs it. */
export class Media {
  readonly #carriers = new Map<Direction, Carrier>()
  readonly #making = new Map<Direction, Promise<Carrier>>()
  #closed = false

  constructor(private readonly deps: MediaDeps) {}

  get(direction: Direction): Carrier | undefined {
    const carrier = this.#carriers.get(direction)
    return carrier?.closed ? undefined : carrier
  }

  sender(): Promise<Carrier> {
    return this.#have('send')
  }

  receiver(): Promise<Carrier> {
    return this.#have('recv')
  }

  /** Lets go what the server doesn't have any more. */
  keep(ids: ReadonlySet<string>): void {
    for (const carrier of this.#carriers.values()) if (!ids.has(carrier.id)) carrier.close()
  }

  wake(): void {
    for (const carrier of this.#carriers.values()) carrier.wake()
  }

  close(): void {
    this.#closed = true
    for (const carrier of this.#carriers.values()) carrier.close()
  }

  #have(direction: Direction): Promise<Carrier> {
    const there = this.get(direction)
    if (there) return Promise.resolve(there)
    const making = this.#making.get(direction) ?? this.#make(direction).finally(() => this.#making.delete(direction))
    this.#making.set(direction, making)
    return making
  }

  async #make(direction: Direction): Promise<Carrier> {
    const { line, ice, device } = this.deps
    const [{ iceServers, iceTransportPolicy }, answer] = await Promise.all([
      ice.get(),
      line('voice.createTransport', { direction }),
    ])
    if (this.#closed) throw new TransportGone()
    const options: TransportOptions = { ...answer, iceServers, iceTransportPolicy }
    const transport =
      direction === 'send' ? device().createSendTransport(options) : device().createRecvTransport(options)
    if (direction === 'send') this.#offer(transport)
    const carrier = new Carrier(transport, this.deps)
    this.#carriers.set(direction, carrier)
    return carrier
  }

  #offer(transport: Transport): void {
    transport.on('produce', ({ kind, rtpParameters, appData }, done, failed) => {
      const { source, paused } = appData as Produced
      const words = { transportId: transport.id, kind, source, rtpParameters, paused } as Produce
      this.deps.line('voice.produce', words).then(
        ({ producerId }) => done({ id: producerId }),
        (error: Error) => {
          if (mayBeDone(error)) this.deps.gone()
          failed(error)
        },
      )
    })
  }
}

/** Unlike all else, to produce again is not the same as once: what the server has must be asked for. */
const mayBeDone = (error: Error): boolean => error instanceof ProblemError && error.code === 'dependency.away'
