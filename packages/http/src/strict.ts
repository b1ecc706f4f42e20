import { type InputFault, parseJson } from '@conntext/kernel'
import type { TObject } from '@sinclair/typebox'
import { requestErrors } from './errors.ts'
import type { Route } from './observe.ts'

const MAX_FAULTS = 20

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Whether a body says of itself that it is JSON as it is sent here: in UTF-8 and not packed. */
export function isJson(headers: Headers): boolean {
  const [type = '', ...parameters] = (headers.get('content-type') ?? '').toLowerCase().split(';')
  if (type.trim() !== 'application/json') return false
  const charset = parameters.map((one) => one.trim()).find((one) => one.startsWith('charset='))
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return false
  return (headers.get('content-encoding') ?? 'identity').trim().toLowerCase() === 'identity'
}

/**
 * Makes a request's `json()`, which is what Elysia reads a body with, refuse bytes that are no UTF-8 (its own puts
 * other characters in their place) and nesting that no contract has.
 */
export function readStrictly(request: Request): void {
  Object.assign(request, { json: async () => parseJson(utf8.decode(await request.arrayBuffer())) })
}

/**
 * Refuses a query parameter that is given more than once: nothing here takes a list, and each reader would take a
 * value of its own choice.
 * @throws request.invalid (422)
 */
export function refuseRepeated(url: string): void {
  const query = url.indexOf('?')
  if (query === -1 || !url.includes('&', query)) return
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const name of new URLSearchParams(url.slice(query)).keys()) {
    if (seen.has(name)) repeated.add(name)
    seen.add(name)
  }
  if (repeated.size === 0) return
  throw invalidQuery([...repeated], 'Given more than once')
}

const keyOf = ({ method, path }: Pick<Route, 'method' | 'path'>) => `${method} ${path}`

/**
 * For routes that don't say which query they take: none. (A guard with an empty schema would do as much, but the routes
 * are described from what Elysia tells of them, where a guard's schema hides their own.)
 * @throws request.invalid (422)
 */
export function refusingQueries(routes: () => readonly Route[]) {
  const takesNone = (route: Route) => (route.hooks as { query?: unknown }).query === undefined
  let closed: Set<string> | undefined
  return ({ request, route }: { request: Request; route: string }): void => {
    const { url, method } = request
    const query = url.indexOf('?')
    if (query === -1) return
    closed ??= new Set(routes().filter(takesNone).map(keyOf))
    if (!closed.has(keyOf({ method, path: route }))) return
    const names = [...new URLSearchParams(url.slice(query)).keys()]
    if (names.length > 0) throw invalidQuery(names, 'Unexpected property')
  }
}

// Requests of which a body was read that they don't have.
const without = new WeakSet<Request>()

/** Makes a request without a body be read as one with an empty object: `refusingNothing` says where that may be. */
export function readNothing(request: Request): void {
  const json = async () => {
    without.add(request)
    return {}
  }
  Object.assign(request, { json })
}

/** Whether all that a body of this schema could hold is optional. */
export function bodyMayBeMissing(schema: unknown): boolean {
  const { type, required = [], minProperties = 0 } = (schema ?? {}) as Partial<TObject> & { required?: string[] }
  return type === 'object' && required.length === 0 && minProperties === 0
}

/**
 * A body may be missing only where all that it could hold is optional.
 * @throws request.unparsable (400)
 */
export function refusingNothing(routes: () => readonly Route[]) {
  const mayBeEmpty = ({ hooks }: Route) => bodyMayBeMissing((hooks as { body?: unknown }).body)
  let open: Set<string> | undefined
  return ({ request, route }: { request: Request; route: string }): void => {
    if (!without.has(request)) return
    open ??= new Set(routes().filter(mayBeEmpty).map(keyOf))
    if (!open.has(keyOf({ method: request.method, path: route })))
      throw requestErrors.unparsable('The body is missing.')
  }
}

const invalidQuery = (names: string[], message: string) =>
  requestErrors.invalid({
    errors: names.slice(0, MAX_FAULTS).map((name): InputFault => ({ path: `/query/${name}`, message })),
  })
