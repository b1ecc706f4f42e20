import { randomBytes } from 'node:crypto'
import {
  type Address,
  addressOf,
  decode,
  encode,
  errorOf,
  isSuccess,
  longTermKey,
  type StunMessage,
  types,
  uint32,
  type Written,
  xorAddress,
} from './stun.ts'
import { ask, openWire, type Way, type Wire, WireError } from './wire.ts'

const UDP = Buffer.from([17, 0, 0, 0])
const UNAUTHENTICATED = 401
const STALE_NONCE = 438

/** A TURN server has refused something, with a code of RFC 8656. */
export class TurnRefused extends Error {
  constructor(readonly code: number) {
    super(`refused with ${code}`)
  }
}

export type Login = { username: string; credential: string }

/** An address at a TURN server that what is sent to is relayed from there. */
export type Relay = {
  relayed: Address
  /** How the server sees us. */
  mapped: Address | undefined
  /** Has the server pass on a request to somebody else, and waits for the answer. @throws TurnRefused, WireError */
  ask(to: Address, request: Buffer): Promise<StunMessage>
  close(): Promise<void>
}

/** @throws TurnRefused, WireError */
export async function openRelay(to: Address, way: Way, login: Login, withinMs: number): Promise<Relay> {
  const wire = await openWire(to, way, withinMs)
  try {
    const session = new Session(wire, login, withinMs)
    const allocated = await session.request(types.allocate, () => ({ requestedTransport: UDP }))
    const relayed = addressOf(allocated, 'xorRelayedAddress')
    if (!relayed) throw new WireError('no relayed address')
    return {
      relayed,
      mapped: addressOf(allocated, 'xorMappedAddress'),
      ask: (peer, request) => session.relay(peer, request),
      async close() {
        // Given back at once: the server has a bounded number.
        await session.request(types.refresh, () => ({ lifetime: uint32(0) })).catch(() => {})
        wire.close()
      },
    }
  } catch (error) {
    wire.close()
    throw error
  }
}

/** One client of the server's, which tells it at first what to sign with. */
class Session {
  #realm: Buffer | undefined
  #nonce: Buffer | undefined

  constructor(
    private readonly wire: Wire,
    private readonly login: Login,
    private readonly withinMs: number,
  ) {}

  async request(type: number, values: (transaction: Buffer) => Written): Promise<StunMessage> {
    for (let left = 2; ; left -= 1) {
      const transaction = randomBytes(12)
      const answer = await ask(this.wire, this.#sign(type, values(transaction), transaction), this.withinMs)
      if (isSuccess(type, answer)) return answer
      const code = errorOf(answer) ?? 0
      const mayBeNew = code === STALE_NONCE || (code === UNAUTHENTICATED && this.#nonce === undefined)
      if (!mayBeNew || left === 0) throw new TurnRefused(code)
      this.#realm = answer.values.get('realm')
      this.#nonce = answer.values.get('nonce')
    }
  }

  #sign(type: number, values: Written, transaction: Buffer): Buffer {
    const realm = this.#realm
    const nonce = this.#nonce
    if (!realm || !nonce) return encode(type, values, { transaction })
    const { username, credential } = this.login
    const key = longTermKey(username, realm.toString(), credential)
    return encode(type, { ...values, username: Buffer.from(username), realm, nonce }, { transaction, key })
  }

  async relay(peer: Address, request: Buffer): Promise<StunMessage> {
    await this.request(types.createPermission, (transaction) => ({ xorPeerAddress: xorAddress(peer, transaction) }))
    const relayed: Wire = {
      send: (bytes) => {
        const transaction = randomBytes(12)
        const values = { xorPeerAddress: xorAddress(peer, transaction), data: bytes }
        this.wire.send(encode(types.sendIndication, values, { transaction }))
      },
      heard: (listener) =>
        this.wire.heard((message) => {
          const data = message.type === types.dataIndication ? message.values.get('data') : undefined
          const within = data && decode(data)
          if (within) listener(within)
        }),
      close: () => {},
    }
    return ask(relayed, request, this.withinMs)
  }
}
