import type { Socket } from 'bun'
import type { Client, Hooks } from './client.ts'
import type { ClientSpec } from './protocol.ts'
import { stampIn } from './stamp.ts'

export const XMPP_HOST = 'bench.localhost'
const ROOM = `hall@muc.${XMPP_HOST}`
const END = Buffer.from('</message>')
const HEADER = `<?xml version='1.0'?><stream:stream to='${XMPP_HOST}' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`

/** What is said and what is waited for, until it is an occupant of the room: SASL PLAIN, bind, join. */
const steps = (name: string): [say: string, until: string][] => [
  [HEADER, '</stream:features>'],
  [`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${btoa(`\0${name}\0secret`)}</auth>`, '<success'],
  [HEADER, '</stream:features>'],
  [
    `<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>`,
    `id='bind'`,
  ],
  // The room's subject ends what an occupant is told at its coming.
  [`<presence to='${ROOM}/${name}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`, '</message>'],
]

/** An occupant of a group chat, over plain XMPP. */
export class XmppClient implements Client {
  received = 0
  readonly #steps: [string, string][]
  readonly #own: string
  readonly #ready = Promise.withResolvers<void>()
  #socket: Socket | undefined
  #rest: Buffer = Buffer.alloc(0)
  #until: string | undefined
  #ended = false

  constructor(
    private readonly port: number,
    { name }: ClientSpec,
    private readonly hooks: Hooks,
  ) {
    this.#own = `from='${ROOM}/${name}'`
    this.#steps = steps(name!)
  }

  async open(): Promise<void> {
    await Bun.connect({
      hostname: '127.0.0.1',
      port: this.port,
      socket: {
        open: (socket) => {
          this.#socket = socket
          this.#step()
        },
        data: (_, chunk) => this.#receive(chunk),
        close: () => this.#lose('the connection ended'),
        error: (_, error) => this.#lose(String(error)),
        connectError: (_, error) => this.#lose(String(error)),
      },
    })
    await this.#ready.promise
  }

  send(_: string, content: string): void {
    this.#socket!.write(`<message to='${ROOM}' type='groupchat' id='m'><body>${content}</body></message>`)
  }

  beat(): void {}

  end(): void {
    this.#ended = true
    this.#socket?.terminate()
  }

  #step(): void {
    const next = this.#steps.shift()
    this.#until = next?.[1]
    this.#rest = Buffer.alloc(0)
    if (next) this.#socket!.write(next[0])
    else this.#ready.resolve()
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    if (this.#until !== undefined) {
      this.#rest = data
      if (data.includes(`type='error'`)) this.#lose(data.toString())
      else if (data.includes(this.#until)) this.#step()
      return
    }
    let at = 0
    for (let end = data.indexOf(END); end >= 0; end = data.indexOf(END, at)) {
      this.#take(data, at, end)
      at = end + END.length
    }
    this.#rest = data.subarray(at)
  }

  #take(data: Buffer, from: number, to: number): void {
    const stamp = stampIn(data, from, to)
    if (stamp === undefined) return
    this.hooks.event(this, stamp, to - from + END.length)
    // What one has said oneself comes back: that is its acknowledgement.
    const own = data.indexOf(this.#own, from)
    if (own >= 0 && own < to) this.hooks.answered(this)
  }

  #lose(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#ready.reject(new Error(reason))
    this.hooks.lost(reason)
  }
}
