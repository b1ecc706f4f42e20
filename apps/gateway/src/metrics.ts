import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The gateway's figures for Prometheus, on a registry of its own unless one is given. */
export function createMetrics(given?: Registry) {
  const registry = given ?? new Registry()
  if (!given) collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const requests = new Counter({
    name: 'conntext_gateway_requests_total',
    help: 'HTTP requests answered',
    labelNames: ['service', 'method', 'status'] as const,
    registers,
  })
  const duration = new Histogram({
    name: 'conntext_gateway_request_duration_seconds',
    help: 'Time from a request to its answer, without the sending of a streamed body',
    labelNames: ['service'] as const,
    buckets: SECONDS,
    registers,
  })
  const gauge = (name: string, help: string) => new Gauge({ name: `conntext_gateway_${name}`, help, registers })
  const counter = (name: string, help: string) =>
    new Counter({ name: `conntext_gateway_${name}_total`, help, registers })
  const closed = new Counter({
    name: 'conntext_gateway_connections_closed_total',
    help: 'WebSocket connections ended, by close code',
    labelNames: ['code'] as const,
    registers,
  })
  // Looking a child up by its labels costs more than counting: each is looked up once.
  const answered = new Map<string, Counter.Internal>()
  const timed = new Map<string, Histogram.Internal<'service'>>()

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

    request(service: string, method: string, status: number, milliseconds: number): void {
      const verb = KNOWN_METHODS.has(method) ? method : 'other'
      const statusClass = `${Math.trunc(status / 100)}xx`
      const key = `${service} ${verb} ${statusClass}`
      const child = answered.get(key) ?? requests.labels(service, verb, statusClass)
      answered.set(key, child)
      child.inc()
      const times = timed.get(service) ?? duration.labels(service)
      timed.set(service, times)
      times.observe(milliseconds / 1000)
    },
  }
}

export type Metrics = ReturnType<typeof createMetrics>
