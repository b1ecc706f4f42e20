import { createProcessRegistry, RequestFigures } from '@conntext/http'
import { Counter, Gauge, type Registry } from 'prom-client'

/** The gateway's figures for Prometheus, on a registry of its own unless one is given. */
export function createMetrics(given?: Registry) {
  const registry = given ?? createProcessRegistry()
  const registers = [registry]
  const figures = new RequestFigures({ prefix: 'conntext_gateway', label: 'service' }, registry)
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
    presences: gauge('presences', 'Accounts that are there, on all gateways, as others see them'),
    presencesTold: counter('presences_told', 'Changes of presence passed on, each counted once'),
    participants: gauge('call_participants', 'Connections that are in calls'),
    typingDropped: counter('typing_dropped', 'News of typing that were too many to pass on'),
    gapRepairs: counter('gap_repairs', 'Times that missing events were fetched from their owner'),
    resets: counter('resets', 'Times that a connection was told to reset a stream'),
    frames: counter('frames_received', 'Frames received from clients'),
    closed: (code: number) => closed.inc({ code }),
    request: (service: string, method: string, status: number, milliseconds: number) =>
      figures.add(service, method, status, milliseconds),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
