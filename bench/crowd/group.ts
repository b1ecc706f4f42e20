import { BareClient, type Client, GatewayClient, type Return } from './client.ts'
import type { Requests, Wave } from './protocol.ts'
import { now, stamped } from './stamp.ts'
import { type Outcome, Tally } from './tally.ts'
import { XmppClient } from './xmpp.ts'

// A listen backlog is shorter than some of the crowds here.
const AT_ONCE = 50
const BEAT_EVERY_MS = 12_000
const BEAT_TICK_MS = 100

const makers = { gateway: GatewayClient, bare: BareClient, xmpp: XmppClient }

/** So many clients of one server. A connection that ends is a failure of whatever is under way. */
export class Group {
  readonly #clients: Client[]
  readonly #failed = Promise.withResolvers<never>()
  readonly #timer: Timer
  #tally: Tally | undefined
  #answered: ((client: Client) => void) | undefined
  #beaten = 0

  constructor({ kind, port, clients }: Requests['open']['ask']) {
    const hooks = {
      event: (client: Client, stamp: number, length: number) => this.#tally?.add(stamp, client.received++, length),
      answered: (client: Client) => this.#answered?.(client),
      lost: (reason: string) => this.#failed.reject(new Error(`a ${kind} client: ${reason}`)),
    }
    this.#failed.promise.catch(() => {})
    this.#clients = clients.map((spec) => new makers[kind](spec.port ?? port, spec, hooks))
    this.#timer = setInterval(() => this.#beat(), BEAT_TICK_MS)
  }

  async open(): Promise<void> {
    for (let at = 0; at < this.#clients.length; at += AT_ONCE) {
      await this.#orFailure(Promise.all(this.#clients.slice(at, at + AT_ONCE).map((client) => client.open())))
    }
  }

  expect(ask: Requests['expect']['ask']): void {
    for (const client of this.#clients) client.received = 0
    this.#tally = 'each' in ask ? new Tally(ask.each * this.#clients.length, true) : new Tally(ask.inAll, false)
  }

  outcome(): Promise<Outcome> {
    return this.#orFailure(this.#tally!.done)
  }

  send({ jobs, total, window, padding }: Requests['send']['ask']): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    let [sent, answered] = [0, 0]
    const next = () => {
      const job = jobs[sent++ % jobs.length]!
      this.#clients[job.client]!.send(job.target, stamped() + 'x'.repeat(padding))
    }
    this.#answered = () => {
      answered += 1
      if (answered === total) resolve()
      else if (sent < total) next()
    }
    for (let i = 0; i < Math.min(window, total); i += 1) next()
    return this.#orFailure(promise)
  }

  cut(): void {
    this.#tally = undefined
    for (const client of this.#clients) client.end()
  }

  async comeBack(how: Return): Promise<Wave> {
    const clients = this.#clients as (BareClient | GatewayClient)[]
    const began = now()
    const caughtUp = await this.#orFailure(Promise.all(clients.map((client) => client.comeBack(how))))
    const bytes = caughtUp.map((one) => one.bytes).sort((a, b) => a - b)
    return {
      times: caughtUp.map(({ at }) => at - began),
      bytes: bytes[Math.floor(bytes.length / 2)]!,
      faults: clients.reduce((sum, { faults }) => sum + faults, 0),
    }
  }

  close(): void {
    clearInterval(this.#timer)
    for (const client of this.#clients) client.end()
  }

  #orFailure<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#failed.promise])
  }

  /** Everybody in turn, so that it is never all at once. */
  #beat(): void {
    const share = Math.ceil((this.#clients.length * BEAT_TICK_MS) / BEAT_EVERY_MS)
    for (let i = 0; i < share; i += 1) this.#clients[this.#beaten++ % this.#clients.length]!.beat()
  }
}
