import { hostname } from 'node:os'
import type { Bus, Unsubscribe } from '@conntext/bus'
import { type Logger, type LogLevel, type LogThreshold, newId, withoutContext } from '@conntext/kernel'
import type { MetricObjectWithValues, MetricValue, Registry } from 'prom-client'
import { instanceName } from './log-shipping.ts'

const ALIVE = 'process.alive'
const ASK = 'process.ask'
const LOGGING = 'process.logging'
const answerTo = (id: string) => `process.answer.${id}`

const BEAT_MS = 10_000
/** A process that has not been heard of for so long is away. */
export const SILENT_MS = 25_000
const FORGET_MS = 3_600_000
const ANSWER_MS = 1_500

/** One of the processes that ConnText runs as. */
export type ProcessInfo = {
  instance: string
  host: string
  pid: number
  /** The service, or `server` where it is all of them. */
  service: string
  version: string
  startedAt: string
  /** How much it logs; null: it is of a release that doesn't say. */
  logLevel: LogLevel | null
}

/** `told`: the level that it was told to log at; undefined: it can't be told. */
type Alive = ProcessInfo & { at: string; leaving?: boolean; told?: LogLevel | null }
type Answer = { instance: string; service: string; metrics: MetricObjectWithValues<MetricValue<string>>[] }

export type BeaconOptions = {
  service: string
  version: string
  bus: Bus
  registry: Registry
  log: Logger
  logging: LogThreshold
}

/** Tells all processes how much to log; `null`: as much as each was started with. */
export const tellLogging = (bus: Bus, level: LogLevel | null): Promise<void> =>
  bus.publish(LOGGING, JSON.stringify({ level }))

/**
 * Lets the others know of this process over the bus, answers what they ask of it, and logs as much as it is told. Losing
 * any of that harms nobody: it is said again.
 */
export function createBeacon({ service, version, bus, registry, log, logging }: BeaconOptions) {
  const self: Omit<ProcessInfo, 'logLevel'> = {
    instance: instanceName(),
    ...{ host: hostname(), pid: process.pid, service, version },
    startedAt: new Date(Date.now() - performance.now()).toISOString(),
  }
  const say = (subject: string, what: object) =>
    withoutContext(() => bus.publish(subject, JSON.stringify(what))).catch(() => {})
  const alive = (more: Partial<Alive> = {}) => {
    const { current: logLevel, told } = logging
    return say(ALIVE, { ...self, logLevel, told, at: new Date().toISOString(), ...more })
  }
  const logAsTold = (payload: string) => {
    const { level } = JSON.parse(payload) as { level: LogLevel | null }
    if (level === logging.told) return
    logging.tell(level)
    // So that whoever looks at the processes sees it at once.
    void alive()
  }
  const answer = async (payload: string) => {
    const { id, want } = JSON.parse(payload) as { id: string; want: 'alive' | 'metrics' }
    if (want === 'alive') return alive()
    const metrics = await registry.getMetricsAsJSON()
    return say(answerTo(id), { instance: self.instance, service, metrics })
  }
  const ends: Unsubscribe[] = []
  let timer: Timer | undefined
  return {
    self,
    async start(): Promise<void> {
      const asked = await bus.subscribe(ASK, (payload) => {
        answer(payload).catch((error: unknown) => log.warn({ err: error }, 'this process could not say how it is'))
      })
      ends.push(asked, await bus.subscribe(LOGGING, logAsTold))
      timer = setInterval(alive, BEAT_MS)
      await alive()
    },
    async stop(): Promise<void> {
      clearInterval(timer)
      await Promise.all(ends.splice(0).map((end) => end()))
      await alive({ leaving: true })
    },
  }
}

export type KnownProcess = ProcessInfo & {
  seenAt: string
  away: boolean
  /** How far its clock was ahead of this process's, as far as one message can tell: its way is part of it. */
  clockSkewMs: number
}

/** All processes, as this one knows them by what they say. */
export class Processes {
  readonly #known = new Map<string, { info: ProcessInfo; seenAt: number; skews: number[] }>()
  #end: Unsubscribe | undefined

  /** `heard` is called with what each of them was told to log, whenever one speaks. */
  constructor(
    private readonly bus: Bus,
    private readonly heard: (told: LogLevel | null) => void = () => {},
  ) {}

  async start(): Promise<void> {
    this.#end = await this.bus.subscribe(ALIVE, (payload) => this.#heard(JSON.parse(payload) as Alive))
    await this.bus.publish(ASK, JSON.stringify({ id: '', want: 'alive' })).catch(() => {})
  }

  async stop(): Promise<void> {
    await this.#end?.()
  }

  list(): KnownProcess[] {
    const now = Date.now()
    return [...this.#known.values()]
      .map(({ info, seenAt, skews }) => ({
        ...info,
        seenAt: new Date(seenAt).toISOString(),
        away: now - seenAt > SILENT_MS,
        // The quickest message says it best.
        clockSkewMs: skews.reduce((best, skew) => (Math.abs(skew) < Math.abs(best) ? skew : best)),
      }))
      .sort((a, b) => a.service.localeCompare(b.service) || a.instance.localeCompare(b.instance))
  }

  /** What all of them count, each with its service and instance; who doesn't answer in time is left out and named. */
  async metrics(): Promise<{ metrics: MetricObjectWithValues<MetricValue<string>>[]; missing: string[] }> {
    const id = newId()
    const wanted = new Set(this.list().flatMap(({ instance, away }) => (away ? [] : [instance])))
    const answers: Answer[] = []
    const all = Promise.withResolvers<void>()
    const end = await this.bus.subscribe(answerTo(id), (payload) => {
      const answer = JSON.parse(payload) as Answer
      answers.push(answer)
      wanted.delete(answer.instance)
      if (wanted.size === 0) all.resolve()
    })
    const timer = setTimeout(all.resolve, ANSWER_MS)
    try {
      await this.bus.publish(ASK, JSON.stringify({ id, want: 'metrics' }))
      await all.promise
    } finally {
      clearTimeout(timer)
      await end()
    }
    return { metrics: merged(answers), missing: [...wanted] }
  }

  #heard({ at, leaving, told, ...said }: Alive): void {
    const now = Date.now()
    if (leaving) return void this.#known.delete(said.instance)
    // An older release says nothing of it.
    const info = { ...said, logLevel: said.logLevel ?? null }
    if (told !== undefined) this.heard(told)
    const skews = [...(this.#known.get(info.instance)?.skews ?? []), Date.parse(at) - now].slice(-6)
    this.#known.set(info.instance, { info, seenAt: now, skews })
    for (const [instance, { seenAt }] of this.#known) if (now - seenAt > FORGET_MS) this.#known.delete(instance)
  }
}

function merged(answers: Answer[]): MetricObjectWithValues<MetricValue<string>>[] {
  const byName = new Map<string, MetricObjectWithValues<MetricValue<string>>>()
  for (const { instance, service, metrics } of answers) {
    for (const metric of metrics) {
      const values = metric.values.map((one) => ({ ...one, labels: { ...one.labels, instance, process: service } }))
      const known = byName.get(metric.name)
      if (known) known.values.push(...values)
      else byName.set(metric.name, { ...metric, values })
    }
  }
  return [...byName.values()].sort((a, b) => a.name.localeCompare(b.name))
}
