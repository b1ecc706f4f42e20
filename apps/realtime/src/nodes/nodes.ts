import type { Bus, Unsubscribe } from '@conntext/bus'
import {
  type SaidVoiceState,
  VoiceBoard,
  type VoiceChange,
  type VoicePort,
  type VoiceState,
  type VoiceWords,
  voiceSubjects,
} from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import { Silenced } from './silenced.ts'

export type NodesDeps = {
  bus: Bus
  log: Logger
  nodeId: string
  /** Another node's port. */
  reach(url: string): VoicePort
  /** Another node has said who is in its calls. */
  heard(nodeId: string, said: SaidVoiceState[]): void
}

const SWEEP_EVERY_MS = 1_000
/** How long a call that begins where one was lost with its node is that one, for its participants. */
const MOVED_WITHIN_MS = 60_000

/** The other nodes, as they tell of themselves: who has which call, and where a new one goes. */
export class Nodes {
  readonly board = new VoiceBoard()
  readonly #unsubscribe: Unsubscribe[] = []
  /** Channels whose calls were lost with their node, and when. */
  readonly #lost = new Map<string, number>()
  /** Whom moderators had silenced in calls that come from elsewhere. */
  readonly silenced = new Silenced(MOVED_WITHIN_MS)
  #sweep: Timer | undefined

  constructor(private readonly deps: NodesDeps) {}

  async start(): Promise<void> {
    const { bus } = this.deps
    this.#unsubscribe.push(
      bus.onGap(() => {
        this.board.interrupted(performance.now())
        this.#ask({})
      }),
      await bus.subscribe(voiceSubjects.nodes, (payload) => this.#hear(JSON.parse(payload) as VoiceWords)),
    )
    this.#ask({})
    this.#sweep = setInterval(() => void this.#forgetSilent(), SWEEP_EVERY_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweep)
    await Promise.all(this.#unsubscribe.splice(0).map((end) => end()))
  }

  /** The other node that has a channel's call. */
  homeOf(channelId: string): string | undefined {
    const home = this.board.nodeOf(channelId)
    return home === this.deps.nodeId ? undefined : home
  }

  /** Whether another node has said that it lives, and not since that it has stopped. */
  knows(nodeId: string): boolean {
    return this.board.nodes().some(({ id }) => id === nodeId)
  }

  /** Whether a channel's call was lost with its node a moment ago. */
  wasLost(channelId: string): boolean {
    return (this.#lost.get(channelId) ?? Number.NEGATIVE_INFINITY) > performance.now() - MOVED_WITHIN_MS
  }

  /** Forgets nodes that have died; while the bus is away all are silent, and none has. */
  async #forgetSilent(): Promise<void> {
    this.#noteLost([])
    if (this.board.silent(performance.now()).length === 0) return
    try {
      await this.deps.bus.check()
    } catch {
      return
    }
    const now = performance.now()
    this.silenced.note(
      this.board.silent(now).flatMap((id) => [...this.board.saidBy(id).values()]),
      now,
    )
    this.#noteLost(this.board.sweep(now).changes)
  }

  /** What another node gives up by these words: it ends, or lets its calls go before. */
  #givenUp(words: VoiceWords): VoiceState[] {
    const said = this.board.saidBy(words.n)
    if (words.k === 'gone') return [...said.values()]
    const { open = true } = this.board.nodes().find(({ id }) => id === words.n)?.load ?? {}
    if (words.k !== 'changed' || open || words.n === this.deps.nodeId) return []
    return words.said.flatMap((one) => ('state' in one ? [] : (said.get(one.p) ?? [])))
  }

  #noteLost(changes: VoiceChange[]): void {
    const now = performance.now()
    for (const [channelId, at] of this.#lost) if (at < now - MOVED_WITHIN_MS) this.#lost.delete(channelId)
    for (const one of changes) if (one.kind === 'left') this.#lost.set(one.channelId, now)
  }

  /** Where a call that is nowhere is to begin: the open node with the least to do, this one where nobody knows better. */
  place(): string {
    const reachable = this.board.nodes().filter(({ id, url }) => url !== null || id === this.deps.nodeId)
    const [best] = reachable
      .filter(({ load }) => load.open)
      .sort((one, other) => one.load.load - other.load.load || (one.id < other.id ? -1 : 1))
    return best?.id ?? this.deps.nodeId
  }

  /** Another node's port; undefined where it can't be reached. */
  port(nodeId: string): VoicePort | undefined {
    const url = this.board.nodes().find(({ id }) => id === nodeId)?.url
    return url ? this.deps.reach(url) : undefined
  }

  #hear(words: VoiceWords): void {
    this.silenced.note(this.#givenUp(words), performance.now())
    const { ask, changes } = this.board.hear(words, performance.now())
    if (words.k === 'gone') this.#noteLost(changes)
    if (ask) this.#ask({ of: words.n })
    if (words.n === this.deps.nodeId || !('said' in words)) return
    this.deps.heard(
      words.n,
      words.said.flatMap((one) => ('state' in one ? [one] : [])),
    )
  }

  #ask(ask: { of?: string }): void {
    this.deps.bus
      .publish(voiceSubjects.ask, JSON.stringify(ask))
      .catch((error: unknown) => this.deps.log.debug({ err: error }, 'nodes could not be asked'))
  }
}
