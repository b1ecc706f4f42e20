import { createProcessRegistry, RequestFigures } from '@conntext/http'
import type { Registry } from 'prom-client'

export type Figures = {
  /** Where the service that the process runs adds its own. */
  registry: Registry
  /** `call`: of a port; `request`: passed on by a gateway. */
  add(kind: 'call' | 'request', method: string, status: number, milliseconds: number): void
  /** All of them, in the Prometheus text format. */
  answer(): Promise<Response>
}

/** Where all that one process runs has its figures, with those of the process itself. */
export const createRegistry = createProcessRegistry

/** A process's figures for Prometheus. */
export function createFigures(registry = createRegistry()): Figures {
  const requests = new RequestFigures({ prefix: 'conntext_service', label: 'kind' }, registry)
  return {
    registry,
    add: (kind, method, status, milliseconds) => requests.add(kind, method, status, milliseconds),
    answer: async () => new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } }),
  }
}
