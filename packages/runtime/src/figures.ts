import { RequestFigures } from '@conntext/http'
import { collectDefaultMetrics, Registry } from 'prom-client'

export type Figures = {
  /** `call`: of a port; `request`: passed on by a gateway. */
  add(kind: 'call' | 'request', method: string, status: number, milliseconds: number): void
  /** All of them, in the Prometheus text format. */
  answer(): Promise<Response>
}

/** A process's figures for Prometheus. */
export function createFigures(): Figures {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new RequestFigures({ prefix: 'conntext_service', label: 'kind' }, registry)
  return {
    add: (kind, method, status, milliseconds) => requests.add(kind, method, status, milliseconds),
    answer: async () => new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } }),
  }
}
