import type { Bus, Unsubscribe } from '@conntext/bus'
import {
  type SaidVoiceState,
  VOICE_ALIVE_MS,
  type VoiceAsk,
  type VoiceNodeLoad,
  type VoiceState,
  type VoiceWords,
  voiceSubjects,
} from '@conntext/contracts'
import { answerWithin, type Logger } from '@conntext/kernel'

export type AnnouncerDeps = {
  bus: Bus
  log: Logger
  nodeId: string
  /** Where other nodes reach this one; null where they can't. */
  url: string | null
  states(): SaidVoiceState[]
  load(): VoiceNodeLoad
}

const GATHERED_MS = 50
// A bus that is away holds nobody up for longer.
const SAID_WITHIN_MS = 1_000
const PART = 250

/** Says on the bus who is in this node's calls. What changes is gathered for a moment. */
export class Announcer {
  readonly #changes = new Map<string, SaidVoiceState | { p: string }>()
  readonly #unsubscribe: Unsubscribe[] = []
  #number = 0
  #gathering: Timer | undefined
  #alive: Timer | undefined

  constructor(private readonly deps: AnnouncerDeps) {}

  async start(): Promise<void> {
    const { bus, nodeId } = this.deps
    const ask = await bus.subscribe(voiceSubjects.ask, (payload) => {
      const { of } = JSON.parse(payload) as VoiceAsk
      if (of !== undefined && of !== nodeId) return
      this.sayAll()
      this.sayAlive()
    })
    this.#unsubscribe.push(ask)
    this.sayAll()
    this.#alive = setInterval(() => this.sayAlive(), VOICE_ALIVE_MS)
    this.sayAlive()
  }

  /** Says that all is over. */
  async stop(): Promise<void> {
    clearInterval(this.#alive)
    clearTimeout(this.#gathering)
    await Promise.all(this.#unsubscribe.splice(0).map((end) => end()))
    await this.#say({ k: 'gone' })
  }

  changed(p: string, state: VoiceState | undefined): void {
    this.#changes.set(p, state ? { p, state } : { p })
    this.#gathering ??= setTimeout(() => this.flush(), GATHERED_MS)
  }

  flush(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
    if (this.#changes.size === 0) return
    this.#number += 1
    void this.#say({ k: 'changed', said: [...this.#changes.values()] })
    this.#changes.clear()
  }

  /** Says what has changed; resolves when all have heard it, or can't in time. */
  async said(): Promise<void> {
    this.flush()
    // One after the other: whoever has heard this has heard what was said before.
    await answerWithin(SAID_WITHIN_MS, () => this.#say(this.#living(), 'announce')).catch(() => {})
  }

  sayAlive(): void {
    this.flush()
    void this.#say(this.#living())
  }

  sayAll(): void {
    this.flush()
    const said = this.deps.states()
    const parts = Math.max(1, Math.ceil(said.length / PART))
    for (let part = 0; part < parts; part += 1) {
      void this.#say({ k: 'all', part, parts, said: said.slice(part * PART, (part + 1) * PART) })
    }
  }

  #living(): Words {
    return { k: 'alive', url: this.deps.url, load: this.deps.load() }
  }

  /** Never fails. */
  async #say(words: Words, how: 'publish' | 'announce' = 'publish'): Promise<void> {
    const { bus, log, nodeId: n } = this.deps
    await bus[how](voiceSubjects.nodes, JSON.stringify({ n, i: this.#number, ...words })).catch((error: unknown) =>
      log.debug({ err: error }, 'what this node has could not be said'),
    )
  }
}

type Words<W = VoiceWords> = W extends unknown ? Omit<W, 'n' | 'i'> : never
