import type { Bus, Unsubscribe } from '@conntext/bus'
import { type SaidVoiceState, VoiceBoard, type VoicePort, type VoiceWords, voiceSubjects } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'

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

/** The other nodes, as they tell of themselves: who has which call, and where a new one goes. */
export class Nodes {
  readonly board = new VoiceBoard()
  readonly #unsubscribe: Unsubscribe[] = []
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
    this.#sweep = setInterval(() => this.board.sweep(performance.now()), SWEEP_EVERY_MS)
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
    const { ask } = this.board.hear(words, performance.now())
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
