import type { VoiceState } from '../voice.ts'
import { type SaidVoiceState, VOICE_SILENCE_MS, type VoiceNodeLoad, type VoiceWords } from './words.ts'

export type VoiceChange =
  | { kind: 'joined' | 'updated'; state: VoiceState }
  | { kind: 'left'; channelId: string; userId: string }

/** What is known of a node. */
export type KnownVoiceNode = { id: string; url: string | null; load: VoiceNodeLoad }

type Node = {
  /** Undefined until all that it has was heard. */
  number: number | undefined
  heardAt: number
  known: KnownVoiceNode | undefined
  said: Map<string, VoiceState>
  parts: { number: number; heard: Map<number, SaidVoiceState[]> } | undefined
}

type Shown = { p: string; node: string; state: VoiceState }

/**
 * Who is in which call, put together from what all nodes say on the bus: a pure function of their words and the time.
 * An account is in one call at most: of two participations, which there are for a moment when somebody joins elsewhere,
 * the later counts.
 */
export class VoiceBoard {
  readonly #nodes = new Map<string, Node>()
  readonly #shown = new Map<string, Shown>()

  /** Takes in what a node said; answers what has changed by it, and whether the node must be asked to say all. */
  hear(words: VoiceWords, now: number): { changes: VoiceChange[]; ask: boolean } {
    if (words.k === 'gone') return { changes: this.#forget(words.n), ask: false }
    const node = this.#nodes.get(words.n) ?? {
      ...{ number: undefined, heardAt: now, known: undefined, said: new Map(), parts: undefined },
    }
    this.#nodes.set(words.n, node)
    node.heardAt = now
    if (words.k === 'all') return this.#all(words, node)
    if (words.k === 'alive') {
      node.known = { id: words.n, url: words.url, load: words.load }
      return { changes: [], ask: node.number !== words.i }
    }
    if (node.number === undefined || words.i !== node.number + 1) {
      node.number = undefined
      return { changes: [], ask: true }
    }
    node.number = words.i
    const concerned = new Set<string>()
    for (const one of words.said) {
      const before = node.said.get(one.p)
      if (before) concerned.add(before.userId)
      if ('state' in one) {
        node.said.set(one.p, one.state)
        concerned.add(one.state.userId)
      } else node.said.delete(one.p)
    }
    return { changes: this.#settle(concerned), ask: false }
  }

  /** Forgets the nodes that have fallen silent; answers which, and what has changed by it. */
  sweep(now: number): { changes: VoiceChange[]; gone: string[] } {
    const gone = this.silent(now)
    return { changes: gone.flatMap((id) => this.#forget(id)), gone }
  }

  /** The nodes that the next sweep would forget. */
  silent(now: number): string[] {
    return [...this.#nodes].filter(([, node]) => now - node.heardAt > VOICE_SILENCE_MS).map(([id]) => id)
  }

  /** What is known is out of date by an interruption of the bus: nobody is taken for silent, and all must be asked. */
  interrupted(now: number): void {
    for (const node of this.#nodes.values()) {
      node.heardAt = now
      node.number = undefined
    }
  }

  states(): VoiceState[] {
    return [...this.#shown.values()].map(({ state }) => state)
  }

  stateOf(userId: string): VoiceState | undefined {
    return this.#shown.get(userId)?.state
  }

  participation(userId: string): { participantId: string; node: string; state: VoiceState } | undefined {
    const shown = this.#shown.get(userId)
    return shown && { participantId: shown.p, node: shown.node, state: shown.state }
  }

  /** Where a channel's call is, by those who are in it. */
  nodeOf(channelId: string): string | undefined {
    for (const { node, state } of this.#shown.values()) if (state.channelId === channelId) return node
    return undefined
  }

  /** What a node has said of its participations, by their ids. */
  saidBy(nodeId: string): ReadonlyMap<string, VoiceState> {
    return this.#nodes.get(nodeId)?.said ?? new Map()
  }

  /** The nodes that have said that they live. */
  nodes(): KnownVoiceNode[] {
    return [...this.#nodes.values()].flatMap(({ known }) => known ?? [])
  }

  #all(words: Extract<VoiceWords, { k: 'all' }>, node: Node): { changes: VoiceChange[]; ask: boolean } {
    if (node.parts?.number !== words.i) node.parts = { number: words.i, heard: new Map() }
    node.parts.heard.set(words.part, words.said)
    if (node.parts.heard.size < words.parts) return { changes: [], ask: false }
    const said = [...node.parts.heard.values()].flat()
    node.parts = undefined
    // What it said since, in between, is newer: only what is ahead of it is taken.
    if (node.number !== undefined && node.number >= words.i) return { changes: [], ask: false }
    const concerned = new Set([...node.said.values(), ...said.map(({ state }) => state)].map(({ userId }) => userId))
    node.said = new Map(said.map(({ p, state }) => [p, state]))
    node.number = words.i
    return { changes: this.#settle(concerned), ask: false }
  }

  #forget(id: string): VoiceChange[] {
    const node = this.#nodes.get(id)
    this.#nodes.delete(id)
    return node ? this.#settle(new Set([...node.said.values()].map(({ userId }) => userId))) : []
  }

  /** One look at all, however many are concerned. */
  #settle(userIds: ReadonlySet<string>): VoiceChange[] {
    const latest = new Map<string, Shown>()
    for (const [node, { said }] of this.#nodes) {
      for (const [p, state] of said) {
        const { userId } = state
        if (!userIds.has(userId)) continue
        const before = latest.get(userId)
        // Ids rise with time, and settle what is of one millisecond.
        if (!before || p > before.p) latest.set(userId, { p, node, state })
      }
    }
    return [...userIds].flatMap((userId) => this.#show(userId, latest.get(userId)))
  }

  #show(userId: string, after: Shown | undefined): VoiceChange[] {
    const before = this.#shown.get(userId)
    if (after) this.#shown.set(userId, after)
    else this.#shown.delete(userId)
    const left: VoiceChange[] = before ? [{ kind: 'left', channelId: before.state.channelId, userId }] : []
    if (!after) return left
    if (!before) return [{ kind: 'joined', state: after.state }]
    if (before.state.channelId !== after.state.channelId) return [...left, { kind: 'joined', state: after.state }]
    return isSame(before.state, after.state) ? [] : [{ kind: 'updated', state: after.state }]
  }
}

const isSame = (one: VoiceState, other: VoiceState): boolean =>
  (Object.keys(one) as (keyof VoiceState)[]).every((key) => one[key] === other[key])
