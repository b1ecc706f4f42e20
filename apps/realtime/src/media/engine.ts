import type { Logger } from '@conntext/kernel'
import type { WebRtcServer, Worker } from 'mediasoup/types'
import type { WorkerSupervisor } from '../worker/supervisor.ts'
import { listenInfos, type VoiceNetwork } from './addresses.ts'

/** A worker that calls can be on, with the sockets that it receives on. */
export type Seat = {
  worker: Worker
  server: WebRtcServer
  port: number
  /** How many consumers calls have there. */
  consumers: number
}

export type EngineOptions = {
  supervisor: WorkerSupervisor
  network: VoiceNetwork
  log: Logger
  retryMs?: number
  /** There are other seats than before. */
  changed?: () => void
}

const RETRY_MS = 3_000

/**
 * The seats for calls: one for each worker that is up, once its sockets are open. A port stays with its place, so that a
 * worker that replaces another has the same one.
 */
export class Engine {
  readonly #seats = new Map<Worker, Seat>()
  readonly #ports = new Map<Worker, number>()
  readonly #onLost = new Set<(seat: Seat) => void>()
  readonly #timers = new Set<Timer>()
  #fault: string | undefined
  #end: (() => void) | undefined

  constructor(private readonly options: EngineOptions) {}

  start(): void {
    this.#end = this.options.supervisor.subscribe(({ kind, worker }) => {
      if (kind === 'up') void this.#take(worker)
      else this.#lose(worker)
    })
    for (const worker of this.options.supervisor.workers()) void this.#take(worker)
  }

  stop(): void {
    this.#end?.()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#seats.clear()
    this.#ports.clear()
  }

  /** Why a worker that is up can't be used; undefined where all can. */
  get fault(): string | undefined {
    return this.#fault
  }

  seats(): Seat[] {
    return [...this.#seats.values()]
  }

  /** Calls back when a seat is gone, with its worker; what was there is closed by then. */
  onLost(listener: (seat: Seat) => void): void {
    this.#onLost.add(listener)
  }

  /** The seat with the least to do, of those that are not excepted. */
  leastBusy(except: (seat: Seat) => boolean = () => false): Seat | undefined {
    return this.seats()
      .filter((seat) => !except(seat))
      .sort((one, other) => one.consumers - other.consumers)[0]
  }

  async #take(worker: Worker): Promise<void> {
    if (worker.closed || this.#seats.has(worker)) return
    const port = this.#ports.get(worker) ?? this.#freePort()
    this.#ports.set(worker, port)
    try {
      const { listen } = this.options.network
      const server = await worker.createWebRtcServer({ listenInfos: listenInfos(listen, port) })
      // It may have died, or all may have been stopped, in between.
      if (worker.closed || !this.#ports.has(worker)) return
      this.#seats.set(worker, { worker, server, port, consumers: 0 })
      this.#fault = undefined
      this.options.changed?.()
    } catch (error) {
      if (worker.closed || !this.#ports.has(worker)) return
      this.#fault = `Media can't be received on port ${port}: it is taken, or an address isn't this machine's.`
      this.options.log.error({ err: error, port }, 'a media worker could not open its sockets; it is tried again')
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        void this.#take(worker)
      }, this.options.retryMs ?? RETRY_MS)
      this.#timers.add(timer)
    }
  }

  #freePort(): number {
    const { port } = this.options.network
    if (port === 0) return 0
    const taken = new Set(this.#ports.values())
    let free = port
    while (taken.has(free)) free += 1
    return free
  }

  #lose(worker: Worker): void {
    const seat = this.#seats.get(worker)
    this.#seats.delete(worker)
    this.#ports.delete(worker)
    if (!seat) return
    for (const listener of this.#onLost) listener(seat)
    this.options.changed?.()
  }
}
