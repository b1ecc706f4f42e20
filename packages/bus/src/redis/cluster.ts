import { answerWithin } from '@conntext/kernel'
import { type Address, nameOf } from './address.ts'
import { Connection, RedisAway } from './connection.ts'
import type { Route, RouteOptions } from './route.ts'
import { slotOf } from './slot.ts'
import { Subscriber } from './subscriber.ts'

const SLOTS = 16_384
// Masters may move silently; and so often at most it is asked where they are.
const LOOK_MS = 5_000
const LOOK_APART_MS = 200
const KNOWN_MS = 1_000

type Node = { publisher: Connection; subscriber: Subscriber }
/** Where a channel is heard; `told`: who wanted it does not wait any more. */
type Home = { node: Node | undefined; heard: Promise<void>; told: boolean }
/** As `CLUSTER SLOTS` answers: the first and the last slot, then the master's host and port. */
type SlotRange = [first: number, last: number, master: [host: string | null, port: number, ...unknown[]], ...unknown[]]

/**
 * A cluster, by sharded channels: a message stays with the master of its channel's slot, and so do those who listen to
 * it, so that what SPUBLISH answers is how many have received it.
 */
export function clusterRoute(seeds: Address[], options: RouteOptions): Route {
  return new Cluster(seeds, options)
}

class Cluster implements Route {
  readonly #nodes = new Map<string, Node>()
  /** The name of each slot's master. */
  #masters: (string | undefined)[] = new Array(SLOTS)
  /** What is wanted. */
  readonly #homes = new Map<string, Home>()
  readonly #known = Promise.withResolvers<void>()
  /** At the start it is waited for a while, by everybody, that the slots are known. */
  readonly #begun = answerWithin(KNOWN_MS, () => this.#known.promise).catch(() => {})
  #isKnown = false
  #closed = false
  #looking: Promise<void> | undefined
  #soon: Timer | undefined
  readonly #timer: Timer

  constructor(
    private readonly seeds: Address[],
    private readonly options: RouteOptions,
  ) {
    for (const seed of seeds) this.#node(seed)
    this.#timer = setInterval(() => this.#lookSoon(), LOOK_MS)
  }

  async publish(channel: string, payload: string): Promise<number> {
    await this.#begun
    const node = this.#masterOf(channel)
    try {
      return await this.#send(node, channel, payload)
    } catch (error) {
      this.#lookSoon()
      if (!(error as Error).message.startsWith('MOVED ')) throw error
      await this.#look()
      const next = this.#masterOf(channel)
      if (next === node) throw error
      return this.#send(next, channel, payload)
    }
  }

  async want(channel: string): Promise<void> {
    const home: Home = { node: undefined, heard: Promise.resolve(), told: false }
    this.#homes.set(channel, home)
    await this.#begun
    if (this.#homes.get(channel) === home) this.#settle(channel, home)
    await home.heard
    home.told = true
  }

  forget(channel: string): void {
    this.#homes.get(channel)?.node?.subscriber.forget(channel)
    this.#homes.delete(channel)
  }

  check(): void {
    const masters = new Set(this.#masters)
    if (!this.#isKnown || masters.has(undefined)) throw new RedisAway('the cluster does not serve all slots')
    for (const name of masters) {
      const node = this.#nodes.get(name!)
      // One that was just found may still be being connected to.
      if (!node || node.publisher.away || node.subscriber.away) throw new RedisAway(`${name} of the cluster is away`)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
    this.#known.resolve()
    const nodes = [...this.#nodes.values()]
    await Promise.all(nodes.flatMap(({ publisher, subscriber }) => [publisher.close(), subscriber.close()]))
  }

  #masterOf(channel: string): Node | undefined {
    return this.#nodes.get(this.#masters[slotOf(channel)] ?? '')
  }

  async #send(node: Node | undefined, channel: string, payload: string): Promise<number> {
    if (!node) throw new RedisAway('the cluster does not serve this slot')
    return Number(await node.publisher.ask((redis) => redis.spublish(channel, payload)))
  }

  /** Has the channel heard where it belongs. */
  #settle(channel: string, home: Home): void {
    const node = this.#masterOf(channel)
    if (!node || node === home.node) return
    // Between two nodes, as between the wish and now, something may be missed.
    const isLate = home.told || home.node !== undefined
    home.node?.subscriber.forget(channel)
    home.node = node
    home.heard = node.subscriber.want(channel, isLate)
  }

  #node(address: Address): Node {
    const { log, message, gap } = this.options
    const known = this.#nodes.get(nameOf(address))
    if (known) return known
    const look = () => this.#lookSoon()
    const node = {
      publisher: new Connection(address, log, { up: look, down: look }),
      subscriber: new Subscriber({ address, log, message, gap, sharded: true, astray: look }),
    }
    this.#nodes.set(nameOf(address), node)
    return node
  }

  #lookSoon(): void {
    if (this.#closed) return
    this.#soon ??= setTimeout(
      () => {
        this.#soon = undefined
        void this.#look()
      },
      this.#isKnown ? LOOK_APART_MS : 0,
    )
  }

  #look(): Promise<void> {
    this.#looking ??= this.#ask().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Asks one node after another where the slots are. */
  async #ask(): Promise<void> {
    const ready = [...this.#nodes].filter(([, { publisher }]) => publisher.ready)
    for (const [name, { publisher }] of ready) {
      try {
        const ranges = await publisher.ask((redis) => redis.cluster('SLOTS'))
        if (!this.#closed) this.#learn(ranges as unknown as SlotRange[], name)
        return
      } catch (error) {
        this.options.log.warn(
          { err: error, redis: name },
          'a node of the Redis cluster does not tell where the slots are',
        )
      }
    }
    // The nodes may have new addresses; those of the beginning are names.
    if (!this.#closed) for (const seed of this.seeds) this.#node(seed)
  }

  #learn(ranges: SlotRange[], from: string): void {
    const { host: itself, ...rest } = { ...this.seeds[0]!, host: from.slice(0, from.lastIndexOf(':')) }
    const masters: (string | undefined)[] = new Array(SLOTS).fill(undefined)
    for (const [first, last, [host, port]] of ranges) {
      // Without a host it is the one that was asked.
      const address = { ...rest, host: host || itself, port }
      this.#node(address)
      masters.fill(nameOf(address), first, last + 1)
    }
    if (ranges.length === 0) return
    this.#masters = masters
    this.#isKnown = true
    for (const [channel, home] of this.#homes) this.#settle(channel, home)
    this.#closeOthers(new Set(masters))
    this.#known.resolve()
  }

  #closeOthers(needed: Set<string | undefined>): void {
    for (const [name, { publisher, subscriber }] of this.#nodes) {
      if (needed.has(name)) continue
      this.#nodes.delete(name)
      void publisher.close()
      void subscriber.close()
    }
  }
}
