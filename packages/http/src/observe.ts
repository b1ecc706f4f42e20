import type { ServiceName } from '@conntext/contracts'
import { beginSpan, counter, histogram, type Logger, validTraceparent, withContext } from '@conntext/kernel'
import { requestId } from './caller.ts'
import { pathTable } from './path-table.ts'

const answered = counter('conntext_operations_total', 'Requests that a service answered, by operation', [
  'service',
  'operation',
  'status',
])
const durations = histogram(
  'conntext_operation_duration_seconds',
  'Time from a request to its answer in the service, without the sending of a streamed body',
  ['service', 'operation'],
)

export type Route = { method: string; path: string; hooks: unknown }
type Fetch = (...request: unknown[]) => unknown
export type Observed = { service?: ServiceName | undefined; log: Logger }

const UNKNOWN = '(none)'

/** The operation of a request, by its id in the API: bounded, whatever is asked for. */
export function operationTable(routes: readonly Route[]): (method: string, path: string) => string {
  const byPath = new Map<string, Map<string, string>>()
  for (const { method, path, hooks } of routes) {
    const { operationId } = (hooks as { detail?: { operationId?: string } }).detail ?? {}
    const known = byPath.get(path) ?? new Map<string, string>()
    byPath.set(path, known.set(method, operationId ?? `${method} ${path}`))
  }
  const find = pathTable(byPath, (one, other) => new Map([...one, ...other]))
  return (method, path) => {
    const found = find(path)
    return found?.get(method) ?? (method === 'HEAD' ? found?.get('GET') : undefined) ?? UNKNOWN
  }
}

/**
 * Around everything: what a request leads to knows which one it was, and whose trace it belongs to; what a service
 * answers is counted, timed, told at `debug` and, where traces are on, is a span.
 */
export const observing =
  ({ service, log }: Observed, routes: () => readonly Route[]) =>
  (fetch: Fetch): Fetch => {
    let operationOf: ReturnType<typeof operationTable> | undefined
    return (...given) => {
      const { headers, method, url } = given[0] as Request
      const parent = validTraceparent(headers.get('traceparent'))
      const context = { requestId: requestId(headers), ...(parent && { traceparent: parent }) }
      if (service === undefined) return withContext(context, () => fetch(...given))
      operationOf ??= operationTable(routes())
      const operation = operationOf(method, pathOf(url))
      const began = performance.now()
      const span = beginSpan(operation, {
        kind: 'server',
        parent,
        attributes: { 'conntext.service': service, 'http.request.method': method, 'http.route': operation },
      })
      const done = (response: Response): Response => {
        const { status } = response
        const milliseconds = performance.now() - began
        answered.add(1, service, operation, `${Math.trunc(status / 100)}xx`)
        durations.observe(milliseconds / 1000, service, operation)
        span?.set({ 'http.response.status_code': status })
        span?.end(status >= 500 ? new Error(`answered ${status}`) : undefined)
        log.debug({ operation, status, ms: Math.round(milliseconds * 10) / 10 }, 'a request was answered')
        return response
      }
      const within = span ? { ...context, traceparent: span.traceparent } : context
      return withContext(within, () => {
        const answer = fetch(...given) as Response | Promise<Response>
        return answer instanceof Promise ? answer.then(done) : done(answer)
      })
    }
  }

function pathOf(url: string): string {
  const start = url[0] === '/' ? 0 : url.indexOf('/', url.indexOf('//') + 2)
  const query = url.indexOf('?', start)
  return query === -1 ? url.slice(start) : url.slice(start, query)
}
