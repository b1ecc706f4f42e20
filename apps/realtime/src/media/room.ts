import type { ActiveSpeakerObserver, AudioLevelObserver, Producer, Router } from 'mediasoup/types'
import { mediaCodecs } from './codecs.ts'
import type { Seat } from './engine.ts'

const LEVELS = { maxEntries: 8, threshold: -55, interval: 400 }

export type Heard = { producerId: string; level: number }

/** A call's part on one worker: its router there, with what is piped to it from the others. */
export class Room {
  /** Who is heard here, the loudest first; who dominates stands before all. */
  heard: Heard[] = []
  readonly #piped = new Map<string, Promise<void>>()
  #dominant: string | undefined

  private constructor(
    readonly seat: Seat,
    readonly router: Router,
    private readonly levels: AudioLevelObserver,
    private readonly dominance: ActiveSpeakerObserver,
    onHeard: () => void,
  ) {
    levels.on('volumes', (volumes) => {
      const heard = volumes.map(({ producer, volume }) => ({ producerId: producer.id, level: Math.round(volume) }))
      const first = heard.filter(({ producerId }) => producerId === this.#dominant)
      this.heard = [...first, ...heard.filter(({ producerId }) => producerId !== this.#dominant)]
      onHeard()
    })
    levels.on('silence', () => {
      this.heard = []
      onHeard()
    })
    dominance.on('dominantspeaker', ({ producer }) => {
      this.#dominant = producer.id
    })
  }

  /** @throws what mediasoup throws where the worker dies meanwhile; nothing is left then */
  static async open(seat: Seat, onHeard: () => void): Promise<Room> {
    const router = await seat.worker.createRouter({ mediaCodecs })
    try {
      const levels = await router.createAudioLevelObserver(LEVELS)
      const dominance = await router.createActiveSpeakerObserver()
      return new Room(seat, router, levels, dominance, onHeard)
    } catch (error) {
      router.close()
      throw error
    }
  }

  /** Listens to how loud a producer of this room is. */
  async listenTo(producer: Producer): Promise<void> {
    await this.levels.addProducer({ producerId: producer.id })
    await this.dominance.addProducer({ producerId: producer.id })
  }

  /** Has a producer of another room here as well, under its own id. */
  async pipe(from: Room, producer: Producer): Promise<void> {
    const known = this.#piped.get(producer.id)
    if (known) return known
    const piping = from.router
      .pipeToRouter({ producerId: producer.id, router: this.router, enableSctp: false })
      .then(({ pipeProducer }) => {
        // With the original, or when either worker dies.
        pipeProducer?.observer.once('close', () => this.#piped.delete(producer.id))
      })
    this.#piped.set(producer.id, piping)
    try {
      await piping
    } catch (error) {
      this.#piped.delete(producer.id)
      throw error
    }
  }

  close(): void {
    this.router.close()
  }
}
