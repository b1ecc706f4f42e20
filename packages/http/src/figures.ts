import { meters } from '@conntext/kernel'
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client'

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]

type Answered = { labels: Record<string, string>; count: number }
type Timed = { buckets: number[]; count: number; sumMs: number }

/** Names begin with `prefix`; `label` is what requests are told apart by, besides method and status. */
export type FigureNames = { prefix: string; label: string }

/**
 * Requests are counted in plain numbers and told to Prometheus when it asks: the client library's own counting costs
 * more than all the rest of what a gateway does for a request.
 */
export class RequestFigures {
  readonly #answered = new Map<string, Answered>()
  readonly #timed = new Map<string, Timed>()

  constructor(
    private readonly names: FigureNames,
    registry: Registry,
  ) {
    // What a registry needs of a metric is its name and `get`; the library's types want its whole class.
    const told = (name: string, get: () => object) =>
      registry.registerMetric({ name, get: async () => get(), reset: () => {} } as unknown as Metric)
    told(`${names.prefix}_requests_total`, () => this.#counter())
    told(`${names.prefix}_request_duration_seconds`, () => this.#histogram())
  }

  add(kind: string, verb: string, status: number, milliseconds: number): void {
    const method = KNOWN_METHODS.has(verb) ? verb : 'other'
    const key = `${kind}${method}${Math.trunc(status / 100)}`
    let answered = this.#answered.get(key)
    if (!answered) {
      const labels = { [this.names.label]: kind, method, status: `${Math.trunc(status / 100)}xx` }
      answered = { labels, count: 0 }
      this.#answered.set(key, answered)
    }
    answered.count += 1
    let timed = this.#timed.get(kind)
    if (!timed) {
      timed = { buckets: BOUNDS_MS.map(() => 0), count: 0, sumMs: 0 }
      this.#timed.set(kind, timed)
    }
    timed.count += 1
    timed.sumMs += milliseconds
    for (let i = BOUNDS_MS.length - 1; i >= 0 && milliseconds <= BOUNDS_MS[i]!; i -= 1) timed.buckets[i]! += 1
  }

  #counter() {
    const name = `${this.names.prefix}_requests_total`
    const values = [...this.#answered.values()].map(({ count, labels }) => ({ labels, value: count }))
    return { name, help: 'HTTP requests answered', type: 'counter', aggregator: 'sum', values }
  }

  #histogram() {
    const name = `${this.names.prefix}_request_duration_seconds`
    const help = 'Time from a request to its answer, without the sending of a streamed body'
    const values = [...this.#timed].flatMap(([kind, { buckets, count, sumMs }]) => {
      const labels = { [this.names.label]: kind }
      const bucket = (le: string, value: number) => ({ metricName: `${name}_bucket`, labels: { ...labels, le }, value })
      return [
        ...buckets.map((value, i) => bucket(String(BOUNDS_MS[i]! / 1000), value)),
        bucket('+Inf', count),
        { metricName: `${name}_sum`, labels, value: sumMs / 1000 },
        { metricName: `${name}_count`, labels, value: count },
      ]
    })
    return { name, help, type: 'histogram', aggregator: 'sum', values }
  }
}

// Whether the event loop is held up is found by waking up: by default each 10 ms, which is most of what an idle process does.
const LOOP_LOOK_MS = 100

/** A registry of what a process is and counts: its memory and the like, and the kernel's meters. */
export function createProcessRegistry(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_LOOK_MS })
  return attachMeters(registry)
}

/** Has a registry tell what this process counts by the kernel's meters. */
function attachMeters(registry: Registry): Registry {
  for (const { name, help, type, samples } of meters()) {
    if (registry.getSingleMetric(name)) continue
    const get = async () => ({ name, help, type, aggregator: 'sum', values: await samples() })
    registry.registerMetric({ name, get, reset: () => {} } as unknown as Metric)
  }
  return registry
}

/** Metrics that were gathered, in the Prometheus text format. */
export async function toPrometheus(metrics: { name: string }[]): Promise<{ text: string; contentType: string }> {
  const registry = new Registry()
  for (const metric of metrics) {
    registry.registerMetric({ name: metric.name, get: async () => metric, reset: () => {} } as unknown as Metric)
  }
  return { text: await registry.metrics(), contentType: registry.contentType }
}
