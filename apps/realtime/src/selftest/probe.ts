import type { IceCandidate, Router, WebRtcTransport } from 'mediasoup/types'
import { announcedCandidates } from '../media/addresses.ts'
import type { Seat } from '../media/engine.ts'
import { type Address, encode, errorOf, isSuccess, types, uint32 } from './stun.ts'
import { ask, openWire, WireError } from './wire.ts'

const WITHIN_MS = 1_500
const PRIORITY = uint32(0x6e00_1eff)

export type Protocol = 'udp' | 'tcp'
/** A socket of a worker's at one of the addresses that it has; `failure`: why nothing answered there. */
export type Reached = Address & { protocol: Protocol; failure: string | undefined }

/** A transport of nobody's, for checks that a client would make. */
export class Probe {
  private constructor(
    private readonly router: Router,
    private readonly transport: WebRtcTransport,
  ) {}

  /** @throws what mediasoup throws where the worker dies */
  static async open({ worker, server }: Seat): Promise<Probe> {
    const router = await worker.createRouter()
    try {
      return new Probe(router, await router.createWebRtcTransport({ webRtcServer: server, enableTcp: true }))
    } catch (error) {
      router.close()
      throw error
    }
  }

  /** What a client would be told. */
  candidates(announced: string[]): IceCandidate[] {
    return announcedCandidates(this.transport.iceCandidates, announced)
  }

  /** Its sockets as this machine itself has them. */
  own(): IceCandidate[] {
    return this.transport.iceCandidates.map((one) => {
      const address = one.ip === '0.0.0.0' ? '127.0.0.1' : one.ip === '::' ? '::1' : one.ip
      return { ...one, ip: address, address }
    })
  }

  /** A connectivity check (RFC 8445), as a client sends it. */
  request(): Buffer {
    const { usernameFragment, password } = this.transport.iceParameters
    const values = {
      username: Buffer.from(`${usernameFragment}:probe`),
      priority: PRIORITY,
      iceControlling: Buffer.alloc(8),
    }
    return encode(types.binding, values, { key: password })
  }

  async reach({ address, port, protocol }: IceCandidate): Promise<Reached> {
    return { address, port, protocol, failure: await this.#failure({ address, port }, protocol) }
  }

  async #failure(to: Address, protocol: Protocol): Promise<string | undefined> {
    try {
      const way = protocol === 'udp' ? ({ protocol } as const) : ({ protocol, framing: 'rfc4571' } as const)
      const wire = await openWire(to, way, WITHIN_MS)
      try {
        const answer = await ask(wire, this.request(), WITHIN_MS)
        return isSuccess(types.binding, answer) ? undefined : `it answers with ${errorOf(answer) ?? 'nonsense'}`
      } finally {
        wire.close()
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return error.code === 'timeout' ? 'nothing answers' : error.code
    }
  }

  close(): void {
    this.router.close()
  }
}
