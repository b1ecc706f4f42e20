import type { RtpCapabilities, VoiceConsumer, VoiceTransport } from '@conntext/contracts'
import type { Signalling } from '@conntext/testing/media'
import { identify } from '../lib/identify.ts'

export type Joined = { producers: { id: string }[]; rtpCapabilities: RtpCapabilities }
type Reply = { op: string; id?: number; ok?: boolean; d?: unknown; error?: { code?: string } }

/** Where calls are made: a gateway, which lets in who shows a token, or bare mediasoup, which lets in everybody. */
export type Place = { url: string; channelId: string; tokens: string[] | undefined }

/** Somebody who signals as clients do, with raw frames. */
export class Peer {
  readonly #waiting = new Map<number, { resolve(data: unknown): void; reject(error: Error): void }>()
  #number = 0

  private constructor(
    private readonly socket: WebSocket,
    private readonly place: Place,
  ) {
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data as string) as Reply)
    socket.onclose = () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the connection is gone'))
    }
  }

  static async connect(place: Place, index: number): Promise<Peer> {
    const socket = new WebSocket(place.url)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.onerror = () => reject(new Error('a socket could not be opened'))
    if (place.tokens) identify(place.tokens[index]!)(socket, resolve)
    else socket.onopen = () => resolve()
    await promise
    return new Peer(socket, place)
  }

  ask<T>(op: string, fields: object = {}): Promise<T> {
    this.#number += 1
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#waiting.set(this.#number, { resolve, reject })
    this.socket.send(JSON.stringify({ op, id: this.#number, ...fields }))
    return promise as Promise<T>
  }

  join = (rtpCapabilities: RtpCapabilities) =>
    this.ask<Joined>('voice.join', { channelId: this.place.channelId, rtpCapabilities })
  leave = () => this.ask('voice.leave')

  readonly signalling: Signalling = {
    createTransport: (direction) => this.ask<VoiceTransport>('voice.createTransport', { direction }),
    connectTransport: (transportId, dtlsParameters) =>
      this.ask('voice.connectTransport', { transportId, dtlsParameters }),
    produce: (asked) => this.ask<{ producerId: string }>('voice.produce', asked),
    consume: (transportId, producerId) => this.ask<VoiceConsumer>('voice.consume', { transportId, producerId }),
    resumeConsumer: (consumerId) => this.ask('voice.resumeConsumer', { consumerId }),
  }

  close(): void {
    this.socket.close()
  }

  #hear({ op, id, ok, d, error }: Reply): void {
    if (op !== 'reply' || id === undefined) return
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (ok) waiting?.resolve(d)
    else waiting?.reject(new Error(`refused: ${error?.code}`))
  }
}
