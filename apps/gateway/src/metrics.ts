import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client'

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]

type Answered = { service: string; method: string; status: string; count: number }
type Timed = { buckets: number[]; count: number; sumMs: number }

const REQUESTS = 'conntext_gateway_requests_total'
const DURATION = 'conntext_gateway_request_duration_seconds'

/**
 * Requests are counted in plain numbers and told to Prometheus when it asks: the client library's own counting costs
 * more than all the rest of what the gateway does for a request.
 */
class RequestFigures {
  readonly #answered = new Map<string, Answered>()
  readonly #timed = new Map<string, Timed>()

  add(service: string, verb: string, status: number, milliseconds: number): void {
    const method = KNOWN_METHODS.has(verb) ? verb : 'other'
    const key = `${service}${method}${Math.trunc(status / 100)}`
    let answered = this.#answered.get(key)
    if (!answered) {
      answered = { service, method, status: `${Math.trunc(status / 100)}xx`, count: 0 }
      this.#answered.set(key, answered)
    }
    answered.count += 1
    let timed = this.#timed.get(service)
    if (!timed) {
      timed = { buckets: BOUNDS_MS.map(() => 0), count: 0, sumMs: 0 }
      this.#timed.set(service, timed)
    }
    timed.count += 1
    timed.sumMs += milliseconds
    for (let i = BOUNDS_MS.length - 1; i >= 0 && milliseconds <= BOUNDS_MS[i]!; i -= 1) timed.buckets[i]! += 1
  }

  counter() {
    const values = [...this.#answered.values()].map(({ count, ...labels }) => ({ labels, value: count }))
    return { name: REQUESTS, help: 'HTTP requests answered', type: 'counter', aggregator: 'sum', values }
  }

  histogram() {
    const help = 'Time from a request to its answer, without the sending of a streamed body'
    const values = [...this.#timed].flatMap(([service, { buckets, count, sumMs }]) => [
      ...buckets.map((value, i) => ({
        metricName: `${DURATION}_bucket`,
        labels: { service, le: String(BOUNDS_MS[i]! / 1000) },
        value,
      })),
      { metricName: `${DURATION}_bucket`, labels: { service, le: '+Inf' }, value: count },
      { metricName: `${DURATION}_sum`, labels: { service }, value: sumMs / 1000 },
      { metricName: `${DURATION}_count`, labels: { service }, value: count },
    ])
    return { name: DURATION, help, type: 'histogram', aggregator: 'sum', values }
  }
}

/** The gateway's figures for Prometheus, on a registry of its own unless one is given. */
export function createMetrics(given?: Registry) {
  const registry = given ?? new Registry()
  if (!given) collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const figures = new RequestFigures()
  // What a registry needs of a metric is its name and `get`; the library's types want its whole class.
  const told = (name: string, get: () => object) =>
    registry.registerMetric({ name, get: async () => get(), reset: () => {} } as unknown as Metric)
  told(REQUESTS, () => figures.counter())
  told(DURATION, () => figures.histogram())
  const gauge = (name: string, help: string) => new Gauge({ name: `conntext_gateway_${name}`, help, registers })
  const counter = (name: string, help: string) =>
    new Counter({ name: `conntext_gateway_${name}_total`, help, registers })
  const closed = new Counter({
    name: 'conntext_gateway_connections_closed_total',
    help: 'WebSocket connections ended, by close code',
    labelNames: ['code'] as const,
    registers,
  })

  return {
    registry,
    connections: gauge('connections', 'WebSocket connections open'),
    streams: gauge('streams', 'Streams followed'),
    published: counter('events_published', 'Events passed on, each counted once'),
    deliveries: counter('deliveries', 'Events passed on, counted for each connection that gets them'),
    gapRepairs: counter('gap_repairs', 'Times that missing events were fetched from their owner'),
    resets: counter('resets', 'Times that a connection was told to reset a stream'),
    frames: counter('frames_received', 'Frames received from clients'),
    closed: (code: number) => closed.inc({ code }),
    request: (service: string, method: string, status: number, milliseconds: number) =>
      figures.add(service, method, status, milliseconds),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
