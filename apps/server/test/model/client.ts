import type { Message } from '@conntext/contracts'
import { fold, type Held, nothingHeld, type Told } from './fold.ts'
import { CUT, type Place } from './stack.ts'

// biome-ignore lint/suspicious/noExplicitAny: frames are looked at as a client sees them
type Frame = any
export type Person = { userId: string; sessionId: string; token: string }
export type Outgoing = { channelId: string; content: string; nonce: string; replyTo?: string }
export type Sent = { message: Message } | { problem: { status: number; code: string }; tries: number }
type Followed = { seq: number; held: Held | undefined; waiting: Told[] }
type Pending = { frame: object; tries: number; done: (sent: Sent) => void }

const PAUSE_MS = 5
const MESSAGES_A_PAGE = 100

/** All that a channel or conversation holds, by HTTP; undefined where this person may not see it. */
export async function fetchHeld(place: Place, { token }: Person, channelId: string, instance = 0) {
  const held = nothingHeld()
  for (let before = ''; ; ) {
    const path = `/v1/channels/${channelId}/messages?limit=${MESSAGES_A_PAGE}${before}`
    const answer = await place.call(await place.reach(instance), token, 'GET', path)
    if (answer === CUT) continue
    if (answer.status === 404 || answer.status === 403) return undefined
    // The instance was about to be killed.
    if (answer.status >= 500) {
      await Bun.sleep(PAUSE_MS)
      continue
    }
    const items: Message[] = answer.body.items
    for (const message of items) {
      if (held.messages.has(message.id)) throw new Error(`the history holds ${message.id} twice`)
      held.messages.set(message.id, message)
    }
    if (!answer.body.hasMoreBefore) return held
    before = `&before=${items[0]!.seq}`
  }
}

/**
 * One device of somebody's, which follows everything that it is told and takes nothing for granted: what comes twice,
 * out of order, with a gap, or of a stream that is not its own, is noted as a fault. It comes back whenever it is cut
 * off, with its cursors, and sends again what has not been answered.
 */
export class Device {
  readonly faults: string[] = []
  /** By stream; `user` is one's own. */
  readonly streams = new Map<string, Followed>()
  readonly reads = new Map<string, number>()
  /** The frames of events, as they came. */
  readonly frames: string[] = []
  home: number
  isReady = false
  /** The instance that it is connected to, or is about to be. */
  at: number | undefined
  #socket: WebSocket | undefined
  #closed = false
  #nextId = 1
  readonly #pending = new Map<number, Pending>()

  constructor(
    readonly name: string,
    readonly person: Person,
    private readonly place: Place,
    home: number,
    /** What it begins from; nothing of these streams is fetched, where a state is given. */
    begin: { cursors?: Record<string, number>; states?: Map<string, Held> } = {},
  ) {
    this.home = home
    for (const [stream, seq] of Object.entries(begin.cursors ?? {})) {
      this.streams.set(stream, { seq, held: begin.states?.get(stream) ?? nothingHeld(), waiting: [] })
    }
    void this.#connect()
  }

  /** Comes back, to that instance where it is alive. */
  reconnect(instance: number): void {
    this.home = instance
    this.cut()
  }

  /** As when the network goes: the server is not told. */
  cut(): void {
    const socket = this.#socket
    if (!socket) return
    this.#socket = undefined
    this.isReady = false
    socket.onmessage = null
    socket.onclose = null
    socket.terminate()
    void this.#connect()
  }

  close(): void {
    this.#closed = true
    this.cut()
  }

  /** Sends, and sends again until there is an answer. */
  send(outgoing: Outgoing): Promise<Sent> {
    return new Promise((done) => this.#ask({ op: 'message.send', ...outgoing }, done))
  }

  read(channelId: string, seq: number): Promise<Sent> {
    return new Promise((done) => this.#ask({ op: 'read', channelId, seq }, done))
  }

  get settled(): boolean {
    return this.isReady && this.#pending.size === 0 && [...this.streams.values()].every((one) => one.held)
  }

  #ask(frame: object, done: (sent: Sent) => void): void {
    const id = this.#nextId++
    const pending = { frame: { ...frame, id }, tries: 0, done }
    this.#pending.set(id, pending)
    if (this.isReady) this.#transmit(pending)
  }

  #transmit(pending: Pending): void {
    pending.tries += 1
    this.#socket!.send(JSON.stringify(pending.frame))
  }

  async #connect(): Promise<void> {
    if (this.#closed) return
    const instance = await this.place.reach(this.home)
    if (this.#closed || this.#socket) return
    this.at = instance
    const socket = new WebSocket(`ws://${this.place.address(instance)}/v1/gateway`)
    this.#socket = socket
    socket.onmessage = ({ data }) => this.#receive(String(data))
    socket.onclose = async ({ code }) => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.isReady = false
      // 1006: cut off; 1001, 1013 and the like are worth coming back for.
      if (code >= 4000 && code !== 4008 && code !== 4009) return void this.faults.push(`closed with ${code}`)
      await Bun.sleep(PAUSE_MS)
      await this.#connect()
    }
  }

  #receive(text: string): void {
    const frame: Frame = JSON.parse(text)
    if (frame.op === 'hello') this.#identify()
    else if (frame.op === 'ready') this.#begin(frame)
    else if (frame.op === 'event') this.#take(frame, text)
    else if (frame.op === 'reply') this.#settle(frame)
    else if (frame.op === 'reset') this.#fault(`reset of ${frame.stream} to ${frame.seq}`)
  }

  #fault(text: string): void {
    this.faults.push(`${this.name}: ${text}`)
  }

  #identify(): void {
    const cursors = Object.fromEntries([...this.streams].map(([stream, { seq }]) => [stream, seq]))
    const known = this.streams.size > 0 ? { cursors } : {}
    this.#socket!.send(JSON.stringify({ op: 'identify', token: this.person.token, ...known }))
  }

  #begin(ready: Frame): void {
    for (const stream of [...this.streams.keys()]) if (!(stream in ready.streams)) this.streams.delete(stream)
    const first = !this.streams.has('user')
    const isNew = new Set(Object.keys(ready.streams).filter((stream) => !this.streams.has(stream)))
    for (const [stream, head] of Object.entries<number>(ready.streams)) {
      const known = this.streams.get(stream)
      if (!known) this.#follow(stream, head)
      else if (head < known.seq) this.#fault(`ready says ${head} of ${stream} where it has ${known.seq}`)
    }
    if (first) {
      for (const { id, lastReadSeq } of ready.channels) this.reads.set(id, lastReadSeq)
      for (const conversation of ready.dms) this.#hasRead(conversation.id, this.#ownMark(conversation))
    } else {
      // What was read before this device came, where it was let in again while it was away: nothing else tells of it.
      for (const { id, lastReadSeq } of ready.channels) {
        if (isNew.has(`channel:${id}`)) this.#hasRead(id, lastReadSeq)
      }
    }
    this.isReady = true
    for (const pending of this.#pending.values()) this.#transmit(pending)
  }

  #ownMark({ participants }: Frame): number {
    return participants.find((one: Frame) => one.userId === this.person.userId).readSeq
  }

  #hasRead(channelId: string, seq: number): void {
    this.reads.set(channelId, Math.max(seq, this.reads.get(channelId) ?? 0))
  }

  #follow(stream: string, seq: number): void {
    const channelId = stream.startsWith('channel:') ? stream.slice('channel:'.length) : undefined
    const followed: Followed = { seq, held: channelId ? undefined : nothingHeld(), waiting: [] }
    this.streams.set(stream, followed)
    if (channelId) void this.#fetch(channelId, followed)
  }

  async #fetch(channelId: string, followed: Followed): Promise<void> {
    const isWanted = () => !this.#closed && this.streams.get(`channel:${channelId}`) === followed
    while (isWanted() && !followed.held) {
      const held = await fetchHeld(this.place, this.person, channelId, this.home)
      // Refused by an instance that hasn't heard yet: or what says that it is lost is on its way.
      if (!held) await Bun.sleep(PAUSE_MS)
      else {
        for (const told of followed.waiting.splice(0)) fold(held, told, this.person.userId)
        followed.held = held
      }
    }
  }

  #take(frame: Frame, text: string): void {
    const { t, stream, seq, d } = frame
    if (seq === undefined) {
      this.#hear(t, d)
      return
    }
    this.frames.push(text)
    const followed = this.streams.get(stream)
    if (!followed) {
      this.#fault(`${t} ${seq} of ${stream}, which it does not follow`)
      return
    }
    if (seq !== followed.seq + 1) this.#fault(`${t} ${seq} of ${stream} after ${followed.seq}`)
    followed.seq = seq
    if (t === 'read.updated') this.reads.set(d.channelId, d.lastReadSeq)
    else if (followed.held) fold(followed.held, { t, seq, d }, this.person.userId)
    else followed.waiting.push({ t, seq, d })
  }

  /** Its own access has changed. */
  #hear(t: string, d: Frame): void {
    const gained: { id: string; lastSeq: number }[] =
      t === 'access.changed' ? d.channels : t === 'conversation.created' ? [d] : []
    const lost: string[] = t === 'access.changed' ? d.removed : t === 'conversation.removed' ? [d.id] : []
    for (const id of lost) this.streams.delete(`channel:${id}`)
    if (t === 'conversation.created') this.#hasRead(d.id, this.#ownMark(d))
    else if (gained.length > 0) void this.#askMarks()
    for (const { id, lastSeq } of gained) {
      if (this.streams.has(`channel:${id}`)) this.#fault(`${t} of ${id}, which it follows already`)
      this.#follow(`channel:${id}`, lastSeq)
    }
  }

  /** What one has read of a channel that is back is not told with it. */
  async #askMarks(): Promise<void> {
    for (let answer: Awaited<ReturnType<Place['call']>> = CUT; answer === CUT || answer.status >= 500; ) {
      if (this.#closed) return
      answer = await this.place.call(await this.place.reach(this.home), this.person.token, 'GET', '/v1/unread')
      if (answer === CUT || answer.status !== 200) await Bun.sleep(PAUSE_MS)
      else for (const { channelId, lastReadSeq } of answer.body.items) this.#hasRead(channelId, lastReadSeq)
    }
  }

  #settle({ id, ok, d, error }: Frame): void {
    const pending = this.#pending.get(id)
    if (!pending) this.#fault(`a second reply to ${id}`)
    this.#pending.delete(id)
    pending?.done(ok ? { message: d } : { problem: error, tries: pending.tries })
  }
}
