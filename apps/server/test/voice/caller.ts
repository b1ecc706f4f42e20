import type { ClientFrame, VoiceConsumer, VoiceJoined, VoiceState, VoiceTransport } from '@conntext/contracts'
import { eventually } from '@conntext/testing'
import { capabilities, opus, type Signalling } from '@conntext/testing/media'

// biome-ignore lint/suspicious/noExplicitAny: frames are looked at as a client sees them
export type Frame = any

export type Member = { userId: string; sessionId: string; token: string }

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** Somebody at a gateway, who makes calls over a real WebSocket. */
export class Caller {
  readonly frames: Frame[] = []
  closed: { code: number } | undefined
  joined: VoiceJoined | undefined
  readonly #socket: WebSocket
  #nextId = 1

  constructor(
    url: string,
    readonly member: Member,
  ) {
    this.#socket = new WebSocket(url)
    this.#socket.onmessage = ({ data }) => this.frames.push(JSON.parse(data as string))
    this.#socket.onclose = ({ code }) => {
      this.closed = { code }
    }
  }

  static async connect(url: string, member: Member, cursors?: Record<string, number>): Promise<Caller> {
    const caller = new Caller(url, member)
    await caller.frame(({ op }) => op === 'hello')
    caller.send({ op: 'identify', token: member.token, ...(cursors ? { cursors } : {}) })
    await caller.frame(({ op }) => op === 'ready')
    return caller
  }

  get userId(): string {
    return this.member.userId
  }

  get connectionId(): string {
    return this.frames.find(({ op }) => op === 'hello').connectionId
  }

  get ready(): { voiceStates: VoiceState[] } {
    return this.frames.find(({ op }) => op === 'ready')
  }

  send(frame: object | string): void {
    this.#socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  /** Waits for a frame that fits, from the first one on. */
  frame(fits: (frame: Frame) => boolean): Promise<Frame> {
    return eventually(() => {
      const found = this.frames.find(fits)
      if (this.closed && !found) throw new Error(`closed with ${this.closed.code} instead`)
      return found
    })
  }

  /** Sends an op with an id, and answers its reply. */
  async ask(frame: Without<ClientFrame, 'id'> | { op: string }): Promise<Frame> {
    const id = this.#nextId++
    this.send({ ...frame, id })
    return this.frame((one) => one.op === 'reply' && one.id === id)
  }

  /** The code of the problem that an op is answered with; `ok` where it is done. */
  async outcome(frame: Without<ClientFrame, 'id'> | { op: string }): Promise<string> {
    const { ok, error } = await this.ask(frame)
    return ok ? 'ok' : error.code
  }

  /** What an op is answered with. @throws its problem */
  async gets<T>(frame: Without<ClientFrame, 'id'>): Promise<T> {
    const { ok, d, error } = await this.ask(frame)
    if (!ok) throw Object.assign(new Error(error.code), error)
    return d
  }

  async join(channelId: string, more: { resume?: string; selfDeafened?: boolean } = {}): Promise<VoiceJoined> {
    this.joined = await this.gets<VoiceJoined>({
      ...{ op: 'voice.join', channelId, rtpCapabilities: capabilities },
      ...more,
    })
    return this.joined
  }

  /** Goes on, at any gateway, with what another connection of the same account had. */
  resume({ joined }: Caller): Promise<VoiceJoined> {
    return this.join(joined!.channelId, { resume: joined!.participantId })
  }

  leave = () => this.gets<object>({ op: 'voice.leave' })
  transport = (direction: 'send' | 'recv') => this.gets<VoiceTransport>({ op: 'voice.createTransport', direction })

  /** Announces a microphone without sending anything. */
  async produce(transportId?: string): Promise<string> {
    const { producerId } = await this.gets<{ producerId: string }>({
      ...{ op: 'voice.produce', kind: 'audio', source: 'microphone', rtpParameters: opus() },
      transportId: transportId ?? (await this.transport('send')).id,
    })
    return producerId
  }

  consume = (transportId: string, producerId: string) =>
    this.gets<VoiceConsumer>({ op: 'voice.consume', transportId, producerId })

  /** For media that is really sent and received. */
  get signalling(): Signalling {
    return {
      createTransport: this.transport,
      connectTransport: (transportId, dtlsParameters) =>
        this.gets({ op: 'voice.connectTransport', transportId, dtlsParameters }),
      produce: (asked) => this.gets({ op: 'voice.produce', ...asked }),
      consume: this.consume,
      resumeConsumer: (consumerId) => this.gets({ op: 'voice.resumeConsumer', consumerId }),
    }
  }

  /** All that was told of an event, in order. */
  heard(t: string): Frame[] {
    return this.frames.filter((one) => one.op === 'event' && one.t === t).map(({ d }) => d)
  }

  hears(t: string, fits: (data: Frame) => boolean = () => true): Promise<Frame> {
    return this.frame((one) => one.op === 'event' && one.t === t && fits(one.d)).then(({ d }) => d)
  }

  /** Who is in which call, as a client makes it of `ready` and what it has heard since. */
  get states(): Map<string, VoiceState> {
    const states = new Map(this.ready.voiceStates.map((state) => [state.userId, state]))
    for (const { op, t, d } of this.frames) {
      if (op !== 'event') continue
      if (t === 'voice.joined' || t === 'voice.updated') states.set(d.userId, d)
      if (t === 'voice.left' && states.get(d.userId)?.channelId === d.channelId) states.delete(d.userId)
      if (t === 'access.changed') {
        for (const [userId, { channelId }] of states) if (d.removed.includes(channelId)) states.delete(userId)
      }
    }
    return states
  }

  close(): void {
    this.#socket.close()
  }
}
