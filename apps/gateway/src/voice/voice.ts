import type { Bus, Unsubscribe } from '@conntext/bus'
import { decodeNotice, type VoiceAsk, VoiceBoard, type VoiceWords, voiceSubjects } from '@conntext/contracts'
import type { MaintenanceGate } from '@conntext/http'
import { type Clock, type Logger, newId } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Connection } from '../sockets/connection.ts'
import { type CallsPort, VoiceOperations } from './operations.ts'
import { Participations } from './participations.ts'
import { VoiceStates } from './states.ts'

export type VoiceOptions = {
  config: Pick<GatewayConfig, 'voice' | 'maxBuckets'>
  bus: Bus
  port: CallsPort
  maintenance: MaintenanceGate
  clock: Clock
  log: Logger
  /** While true nobody is told who is in calls: it is being found out who sees what. */
  held(): boolean
  /** Sends a frame to all who follow a channel's stream. */
  publish(stream: string, frame: string): void
  /** Those who have had their `ready` and don't follow their streams yet. */
  catchingUp(): Iterable<Connection>
  /** How many connections are in calls. */
  counted(count: number): void
}

// A round that is late by so many rounds tells of this process, not of the nodes.
const STOOD_STILL = 3
// All that a node has is asked for once in this time.
const ASK_AGAIN_MS = 250
const PARTING_MS = 2_000

/**
 * Calls, as far as a gateway has to do with them: who is in which, for all who may see it; and for those who are in one,
 * the way to its node and back.
 */
export class Voice {
  readonly #gatewayId = newId()
  readonly #board = new VoiceBoard()
  readonly #participations: Participations
  readonly #askedAt = new Map<string, number>()
  readonly states: VoiceStates
  readonly operations: VoiceOperations
  readonly #ends: Unsubscribe[] = []
  #timers: Timer[] = []
  #sweptAt = performance.now()

  constructor(private readonly options: VoiceOptions) {
    const { config, port, maintenance, clock, log, held, publish, catchingUp, counted } = options
    this.#participations = new Participations({ clock, counted })
    this.states = new VoiceStates({ board: this.#board, clock, held, publish, catchingUp })
    const common = { gatewayId: this.#gatewayId, participations: this.#participations }
    this.operations = new VoiceOperations({ config, port, maintenance, log, ...common })
  }

  async start(): Promise<void> {
    const { bus, config } = this.options
    this.#ends.push(
      bus.onGap(() => {
        this.#board.interrupted(performance.now())
        this.#ask({})
      }),
      await bus.subscribe(voiceSubjects.nodes, (payload) => this.#hear(JSON.parse(payload) as VoiceWords)),
      await bus.subscribe(voiceSubjects.notices(this.#gatewayId), (payload) => {
        const { to, frame } = decodeNotice(payload)
        this.#participations.hear(to, frame)
      }),
    )
    this.#ask({})
    this.#sweptAt = performance.now()
    this.#timers = [
      setInterval(() => void this.#sweep(), config.voice.sweepMs),
      setInterval(() => this.#lease(), config.voice.leaseMs),
    ]
  }

  /** After the last connection has been sent away; whose end hasn't been heard of yet is gone all the same. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    for (const { connection } of [...this.#participations.all()]) this.operations.left(connection)
    await this.operations.settled(PARTING_MS)
    await Promise.all(this.#ends.splice(0).map((end) => end()))
  }

  #hear(words: VoiceWords): void {
    const { changes, ask } = this.#board.hear(words, performance.now())
    this.states.changed(changes)
    if (words.k === 'gone') this.#lost([words.n])
    if (ask) this.#askOf(words.n)
  }

  /** Has a node say all, unless it has just been asked to. */
  #askOf(node: string): void {
    const now = performance.now()
    if (now - (this.#askedAt.get(node) ?? Number.NEGATIVE_INFINITY) < ASK_AGAIN_MS) return
    this.#askedAt.set(node, now)
    this.#ask({ of: node })
  }

  #ask(ask: VoiceAsk): void {
    this.#say(voiceSubjects.ask, ask)
  }

  #lease(): void {
    for (const lease of this.#participations.leases(this.#gatewayId)) this.#say(voiceSubjects.gateways, lease)
  }

  #say(subject: string, words: object): void {
    const { bus, log } = this.options
    bus
      .publish(subject, JSON.stringify(words))
      .catch((error: unknown) => log.debug({ err: error, subject }, 'the nodes of calls could not be told'))
  }

  /** Finds the nodes that have died: they are silent, though the bus is there and this process has listened. */
  async #sweep(): Promise<void> {
    const { bus, config } = this.options
    const stoodStill = performance.now() - this.#sweptAt > config.voice.sweepMs * STOOD_STILL
    this.#sweptAt = performance.now()
    if (stoodStill || this.#board.silent(performance.now()).length === 0) return
    try {
      await bus.check()
    } catch {
      return
    }
    const { changes, gone } = this.#board.sweep(performance.now())
    this.#lost(gone)
    this.states.changed(changes)
  }

  #lost(nodes: string[]): void {
    for (const node of nodes) this.#askedAt.delete(node)
    this.#participations.lost(nodes)
  }
}
