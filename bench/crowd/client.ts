import { HEARTBEAT } from './frames.ts'
import type { ClientSpec } from './protocol.ts'
import { now, stampIn } from './stamp.ts'
import { kindOf, RawSocket } from './websocket.ts'

export type Hooks = {
  /** `length`: of the whole frame, in bytes. */
  event(client: Client, stamp: number, length: number): void
  answered(client: Client): void
  lost(reason: string): void
}

/** To which channel a client of the gateway comes back, or for how many bytes a bare one asks. */
export type Return = { channelId?: string; bytes?: number }

/** When a client had all that it had missed, and how many bytes that took. */
export type CaughtUp = { at: number; bytes: number }

/** One of a crowd: in, and counting what it gets. */
export interface Client {
  /** Events since the count began. */
  received: number
  open(): Promise<void>
  send(target: string, content: string): void
  beat(): void
  end(): void
}

const SEQ = Buffer.from('"seq":')

/** A client of a bare Bun.serve: what it sends is published under the target. */
export class BareClient implements Client {
  received = 0
  readonly faults = 0
  #socket: RawSocket
  #ready = Promise.withResolvers<void>()
  #greeted = Promise.withResolvers<CaughtUp>()

  constructor(
    private readonly port: number,
    private readonly spec: ClientSpec,
    private readonly hooks: Hooks,
  ) {
    this.#socket = this.#make(spec.path ?? '/')
  }

  async open(): Promise<void> {
    await this.#socket.connect()
    await this.#ready.promise
  }

  /** Connects anew; resolves when it has got a frame of so many bytes, for which it asks as the gateway's clients do. */
  async comeBack({ bytes }: Return): Promise<CaughtUp> {
    this.#ready = Promise.withResolvers()
    this.#greeted = Promise.withResolvers()
    this.#socket = this.#make(`/${bytes}`)
    await this.open()
    this.#socket.send(JSON.stringify({ op: 'identify', token: this.spec.token }))
    return this.#greeted.promise
  }

  send(target: string, content: string): void {
    this.#socket.send(`${target}\n{"op":"event","content":"${content}"}`)
  }

  beat(): void {}

  end(): void {
    this.#socket.end()
  }

  #make(path: string): RawSocket {
    return new RawSocket(this.port, path, {
      opened: () => this.#ready.resolve(),
      take: (data, from, to) => this.#take(data, from, to),
      lost: (reason) => {
        this.#ready.reject(new Error(reason))
        this.hooks.lost(reason)
      },
    })
  }

  #take(data: Buffer, from: number, to: number): void {
    const kind = kindOf(data, from)
    if (kind === 'reply') this.hooks.answered(this)
    else if (kind === 'ready') this.#greeted.resolve({ at: now(), bytes: this.#socket.bytes })
    else {
      const stamp = stampIn(data, from, to)
      if (stamp !== undefined) this.hooks.event(this, stamp, to - from)
    }
  }
}

/** A client of the gateway; one that `returns` remembers how far it is and can come back from there. */
export class GatewayClient implements Client {
  received = 0
  faults = 0
  #socket: RawSocket
  #cursors: Record<string, number> | undefined
  /** The stream of which the position counts, and its last number. */
  #followed: string | undefined
  #seq = 0
  #head = Number.POSITIVE_INFINITY
  #ready = Promise.withResolvers<void>()
  #caughtUp = Promise.withResolvers<CaughtUp>()

  constructor(
    private readonly port: number,
    private readonly spec: ClientSpec,
    private readonly hooks: Hooks,
  ) {
    this.#socket = this.#make()
  }

  async open(): Promise<void> {
    await this.#socket.connect()
    await this.#ready.promise
  }

  /** Connects anew with its cursors; resolves when it has all that there was when it was let in. */
  async comeBack({ channelId }: Return): Promise<CaughtUp> {
    this.#followed = `channel:${channelId}`
    this.#head = Number.POSITIVE_INFINITY
    this.#seq ||= this.#cursors![this.#followed]!
    this.#cursors![this.#followed] = this.#seq
    this.#ready = Promise.withResolvers()
    this.#caughtUp = Promise.withResolvers()
    this.#socket = this.#make()
    await this.open()
    return this.#caughtUp.promise
  }

  send(channelId: string, content: string): void {
    this.#socket.send(JSON.stringify({ op: 'message.send', id: 1, channelId, content }))
  }

  beat(): void {
    this.#socket.write(HEARTBEAT)
  }

  end(): void {
    this.#socket.end()
  }

  #make(): RawSocket {
    return new RawSocket(this.port, '/v1/gateway', {
      opened() {},
      take: (data, from, to) => this.#take(data, from, to),
      lost: (reason) => {
        this.#ready.reject(new Error(reason))
        this.#caughtUp.reject(new Error(reason))
        // Nobody waits for it unless the client comes back.
        this.#caughtUp.promise.catch(() => {})
        this.hooks.lost(reason)
      },
    })
  }

  #take(data: Buffer, from: number, to: number): void {
    const kind = kindOf(data, from)
    if (kind === 'event') {
      const stamp = stampIn(data, from, to)
      if (stamp === undefined) return
      // Whoever doesn't come back looks at no more of a frame than the clients of the bare server do.
      if (this.spec.returns) this.#note(data, from)
      this.hooks.event(this, stamp, to - from)
    } else if (kind === 'reply') this.#answer(data, from, to)
    else if (kind === 'ready') this.#begin(data.toString('utf8', from, to))
    else if (kind === 'reset') this.hooks.lost('a stream was reset')
    else if (data.toString('latin1', from, from + 13) === '{"op":"hello"') {
      this.#socket.send(JSON.stringify({ op: 'identify', token: this.spec.token, cursors: this.#cursors }))
    }
  }

  #answer(data: Buffer, from: number, to: number): void {
    if (data.indexOf('"ok":false', from) >= 0) this.hooks.lost(`refused: ${data.toString('utf8', from, to)}`)
    else this.hooks.answered(this)
  }

  #begin(frame: string): void {
    const { streams } = JSON.parse(frame) as { streams: Record<string, number> }
    if (this.#followed === undefined) this.#cursors = streams
    else this.#head = streams[this.#followed] ?? 0
    this.#ready.resolve()
    this.#look()
  }

  #note(data: Buffer, from: number): void {
    let at = data.indexOf(SEQ, from) + SEQ.length
    let seq = 0
    for (; data[at]! >= 48 && data[at]! <= 57; at += 1) seq = seq * 10 + data[at]! - 48
    if (this.#seq > 0 && seq !== this.#seq + 1) this.faults += 1
    this.#seq = seq
    this.#look()
  }

  #look(): void {
    if (this.#seq >= this.#head) this.#caughtUp.resolve({ at: now(), bytes: this.#socket.bytes })
  }
}
