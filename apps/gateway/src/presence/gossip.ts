import type { Bus, Unsubscribe } from '@conntext/bus'
import { type PresenceWords, type SaidPresence, subjects } from '@conntext/contracts'
import { answerWithin, type Logger, newId } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Registry } from './registry.ts'

// So many accounts go into one message.
const PART = 250
// What goes wrong in a crowd is asked and answered spread over this time, and once for all who ask.
const SOON_MS = 200
const ASK_AGAIN_MS = 1_000

export type GossipOptions = {
  bus: Bus
  log: Logger
  config: GatewayConfig['presence']
  registry: Registry
  /** What the connections here make of an account, now. */
  own: { said(userId: string): SaidPresence | undefined; userIds(): string[] }
  /** Another gateway says this. */
  heard(said: SaidPresence): void
  /** A session is connected to another gateway. */
  cameBack(session: { userId: string; sessionId: string }): void
  now(): number
}

type Peer = {
  /** The last of its changes that was heard. */
  n: number
  /** Until when what it said holds, unless it is heard of again. */
  until: number
  leaving: boolean
  /** Something of it was missed: when it was last asked for all. */
  askedAt: number | undefined
  parts: { next: number; said: SaidPresence[] } | undefined
}

type Body = PresenceWords extends infer W ? (W extends PresenceWords ? Omit<W, 'g' | 'n'> : never) : never

/**
 * Tells the other gateways what the connections here make of their accounts, and learns the same of them: changes as
 * they come, everything when asked. What one has said holds for as long as it is heard of.
 */
export class Gossip {
  readonly name = newId()
  #n = 0
  readonly #peers = new Map<string, Peer>()
  readonly #changed = new Set<string>()
  #back: { u: string; id: string }[] = []
  readonly #ends: Unsubscribe[] = []
  #timer: Timer | undefined
  #soon: Timer | undefined
  #aliveAt = 0
  #lookedAt: number | undefined
  #left = false

  constructor(private readonly options: GossipOptions) {}

  /** Resolves when all that the others know is known here, or couldn't be had in time. */
  async start(): Promise<void> {
    const { bus, log, config } = this.options
    this.#ends.push(
      await bus.subscribe(subjects.presence, (payload) => this.#hear(JSON.parse(payload) as PresenceWords)),
      bus.onGap(() => this.#afterGap()),
    )
    const deadline = performance.now() + config.joinMs
    const words = JSON.stringify(this.#words({ k: 'ask', now: true }))
    await answerWithin(config.joinMs, () => bus.announce(subjects.presence, words)).catch((error: unknown) =>
      log.warn({ err: error }, 'the other gateways could not be asked who is there'),
    )
    while ([...this.#peers.values()].some(isBehind) && performance.now() < deadline) await Bun.sleep(5)
  }

  /** Says goodbye: what was said here holds with the others until those who were here have come back to them. */
  async leave(): Promise<void> {
    this.#flush()
    this.#left = true
    clearTimeout(this.#soon)
    const { log, config } = this.options
    await answerWithin(config.joinMs, async () => {
      await this.#say({ k: 'leave' })
      await Promise.all(this.#ends.splice(0).map((end) => end()))
    }).catch((error: unknown) => log.warn({ err: error }, 'the other gateways could not be told that this one stops'))
  }

  /** Something has changed with an account here. */
  changed(userId: string): void {
    this.#changed.add(userId)
    this.#flushSoon()
  }

  /** A session is connected here; somebody else may be waiting for it. */
  entered({ userId, sessionId }: { userId: string; sessionId: string }): void {
    if (this.#peers.size === 0) return
    this.#back.push({ u: userId, id: sessionId })
    this.#flushSoon()
  }

  /** Says that this gateway lives, and lets go what was said by those that don't. Called every `tickMs`. */
  tick(): void {
    const { config, registry, log } = this.options
    const now = this.options.now()
    // Had this process no time to listen, what the others said is still on its way.
    const late = now - (this.#lookedAt ?? now) - config.tickMs
    this.#lookedAt = now
    if (late > config.tickMs) this.#extend(late)
    if (now - this.#aliveAt >= config.aliveMs * (0.8 + Math.random() * 0.2)) {
      this.#aliveAt = now
      void this.#say({ k: 'alive' })
    }
    for (const [name, peer] of this.#peers) {
      if (peer.until <= now) {
        this.#peers.delete(name)
        registry.drop(name)
        if (!peer.leaving) log.warn({ gateway: name }, 'a gateway is not heard of any more')
      } else if (isBehind(peer)) this.#ask(name, peer)
    }
  }

  #flushSoon(): void {
    if (!this.#left) this.#timer ??= setTimeout(() => this.#flush(), this.options.config.announceMs)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const said = [...this.#changed].map((userId) => this.options.own.said(userId) ?? { u: userId })
    this.#changed.clear()
    for (let at = 0; at < said.length; at += PART) {
      this.#n += 1
      void this.#say({ k: 'changed', said: said.slice(at, at + PART) })
    }
    // Last, so that nobody is taken for gone in between.
    while (this.#back.length > 0) void this.#say({ k: 'back', sessions: this.#back.splice(0, PART) })
  }

  /** All parts are given to the bus at once, so that nothing comes in between. */
  #sayAll(): void {
    clearTimeout(this.#soon)
    this.#soon = undefined
    if (this.#left) return
    const said = this.options.own.userIds().flatMap((userId) => this.options.own.said(userId) ?? [])
    const parts = Math.max(1, Math.ceil(said.length / PART))
    for (let part = 0; part < parts; part += 1) {
      void this.#say({ k: 'all', part, parts, said: said.slice(part * PART, (part + 1) * PART) })
    }
  }

  #sayAllSoon(): void {
    this.#soon ??= setTimeout(() => this.#sayAll(), SOON_MS * (0.5 + Math.random() / 2))
  }

  #words(body: Body): PresenceWords {
    return { ...body, g: this.name, n: this.#n } as PresenceWords
  }

  async #say(body: Body): Promise<void> {
    const { bus, log } = this.options
    try {
      await bus.publish(subjects.presence, JSON.stringify(this.#words(body)))
    } catch (error) {
      // While the bus is away nobody is heard of, which says nothing about them.
      this.#extend(this.options.config.aliveMs)
      log.debug({ err: error }, 'the other gateways could not be told who is here')
    }
  }

  /** Lets what the others have said hold for longer. */
  #extend(ms: number): void {
    for (const peer of this.#peers.values()) peer.until += ms
  }

  #afterGap(): void {
    const now = this.options.now()
    for (const peer of this.#peers.values()) peer.until = Math.max(peer.until, now + this.options.config.leaseMs)
    void this.#say({ k: 'ask' })
    this.#sayAllSoon()
  }

  #hear(words: PresenceWords): void {
    if (words.g === this.name || this.#left) return
    const peer = this.#peerOf(words.g)
    const { config } = this.options
    if (words.k === 'leave') peer.leaving = true
    peer.until = this.options.now() + (peer.leaving ? config.graceMs : config.leaseMs)
    if (words.k === 'changed') this.#hearChanges(words.g, peer, words)
    else if (words.k === 'all') this.#hearAll(words.g, peer, words)
    else {
      if (words.n !== peer.n) this.#ask(words.g, peer)
      if (words.k === 'back') {
        for (const { u, id } of words.sessions) this.options.cameBack({ userId: u, sessionId: id })
      }
      if (words.k === 'ask' && (words.of === undefined || words.of === this.name)) {
        if (words.now) this.#sayAll()
        else this.#sayAllSoon()
      }
    }
  }

  #peerOf(name: string): Peer {
    const known = this.#peers.get(name)
    if (known) return known
    const peer: Peer = { n: 0, until: 0, leaving: false, askedAt: undefined, parts: undefined }
    this.#peers.set(name, peer)
    return peer
  }

  #hearChanges(name: string, peer: Peer, { n, said }: Extract<PresenceWords, { k: 'changed' }>): void {
    if (n <= peer.n) return
    const missed = n !== peer.n + 1
    peer.n = n
    for (const one of said) {
      if ('s' in one) this.#take(name, one)
      else this.options.registry.remove(name, one.u)
    }
    if (missed) this.#ask(name, peer)
  }

  #hearAll(name: string, peer: Peer, { n, part, parts, said }: Extract<PresenceWords, { k: 'all' }>): void {
    const gathered = part === 0 ? { next: 0, said: [] } : peer.parts
    if (gathered?.next !== part) {
      peer.parts = undefined
      this.#ask(name, peer)
      return
    }
    gathered.next += 1
    gathered.said.push(...said)
    peer.parts = gathered
    if (gathered.next < parts) return
    peer.parts = undefined
    peer.askedAt = undefined
    peer.n = n
    this.options.registry.replace(name, gathered.said)
    for (const one of gathered.said) this.options.heard(one)
  }

  #take(name: string, said: SaidPresence): void {
    this.options.registry.put(name, said)
    this.options.heard(said)
  }

  /** Something of a gateway was missed. */
  #ask(name: string, peer: Peer): void {
    const now = this.options.now()
    if (peer.askedAt !== undefined && now - peer.askedAt < ASK_AGAIN_MS) return
    peer.askedAt = now
    void this.#say({ k: 'ask', of: name })
  }
}

const isBehind = ({ askedAt, parts }: Peer): boolean => askedAt !== undefined || parts !== undefined
