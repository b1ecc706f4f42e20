import type { ConnectionState, Transport } from 'mediasoup-client/types'
import { backoff } from '../gateway/backoff.ts'
import { faultOf, TransportGone } from './faults.ts'
import type { IceSource } from './ice.ts'
import type { Line } from './line.ts'

export type CarrierDeps = {
  line: Line
  ice: IceSource
  iceRestartMs: number
  /** What the server has is not what it should have: it is asked. */
  gone(): void
}

const LONGEST_RESTART_MS = 10_000

/** One direction of the media, and what looks for another way when the one that it has is interrupted. */
export class Carrier {
  #timer: ReturnType<typeof setTimeout> | undefined
  #restarts = 0
  #restarting = false
  #refusal: Error | undefined

  constructor(
    readonly transport: Transport,
    private readonly deps: CarrierDeps,
  ) {
    transport.on('connect', ({ dtlsParameters }, done, failed) => {
      deps.line('voice.connectTransport', { transportId: transport.id, dtlsParameters }).then(done, (error: Error) => {
        this.#refusal = error
        failed(error)
        // Half of it is done, and none of that is of use.
        transport.close()
      })
    })
    transport.on('connectionstatechange', (state) => this.#note(state))
    transport.observer.on('close', () => clearTimeout(this.#timer))
  }

  get id(): string {
    return this.transport.id
  }

  get closed(): boolean {
    return this.transport.closed
  }

  close(): void {
    this.transport.close()
  }

  /** Why something could not be done on it: what is under way when it closes is told merely that it was stopped. */
  why(error: Error): Error {
    return this.closed ? (this.#refusal ?? new TransportGone()) : error
  }

  /** There is a connection to the gateway again: what could not be asked without is asked now. */
  wake(): void {
    if (isInterrupted(this.transport.connectionState)) this.#soon(0)
  }

  #note(state: ConnectionState): void {
    if (state === 'connected') {
      this.#restarts = 0
      clearTimeout(this.#timer)
      this.#timer = undefined
    } else if (state === 'failed') this.#soon(0)
    // Which often passes by itself.
    else if (state === 'disconnected') this.#soon(this.deps.iceRestartMs)
  }

  #soon(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#restart(), ms)
  }

  async #restart(): Promise<void> {
    if (this.#restarting || this.closed || this.transport.connectionState === 'connected') return
    this.#restarting = true
    const { line, ice, gone, iceRestartMs } = this.deps
    try {
      const { iceServers } = await ice.get()
      const { iceParameters } = await line('voice.restartIce', { transportId: this.id })
      if (this.closed) return
      await this.transport.updateIceServers({ iceServers })
      await this.transport.restartIce({ iceParameters })
    } catch (error) {
      const fault = faultOf(error)
      if (this.closed || fault === 'lost') return
      if (fault === 'rejoin') return gone()
    } finally {
      this.#restarting = false
    }
    // Until it is connected.
    this.#soon(backoff(this.#restarts++, { firstMs: 2 * iceRestartMs, longestMs: LONGEST_RESTART_MS }))
  }
}

const isInterrupted = (state: ConnectionState): boolean => state === 'disconnected' || state === 'failed'
