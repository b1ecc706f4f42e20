import {
  dependencyErrors,
  type Guard,
  HEAD_HEADER,
  loggedPath,
  type MaintenanceGate,
  problemResponse,
  requestErrors,
  requestId,
  toAppError,
} from '@conntext/http'
import {
  AppError,
  answerWithin,
  beginSpan,
  type Logger,
  traceIdOf,
  validTraceparent,
  withContext,
} from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Metrics } from '../metrics.ts'
import type { Allowance } from '../rate-limit.ts'
import { createAddressReader } from './address.ts'
import { type Admission, bearerOf } from './admission.ts'
import { boundBody, isStreamed } from './body.ts'
import type { Cors } from './cors.ts'
import { cleanHeaders, finishHeaders } from './headers.ts'
import { waitsForMaintenance } from './maintenance.ts'
import type { Operation, PathOperations } from './operations.ts'
import { type Destination, destinationOf } from './routing.ts'
import { readTarget, type Target } from './target.ts'

export type Upstream = (request: Request) => Promise<Response>

export type PipelineDeps = {
  config: GatewayConfig
  log: Logger
  metrics: Metrics
  admission: Admission
  maintenance: MaintenanceGate
  /** Who a bearer token is for. */
  identify: Guard['identify']
  cors: Cors
  operationsOf(path: string): PathOperations
  upstreams: Record<Destination, Upstream>
  isDraining(): boolean
  /** Takes a request for the WebSocket; answers nothing when it has become one. */
  upgrade(request: Request, exchange: Exchange): Response | undefined
}

/** What has been found out about a request on its way through. */
export type Exchange = {
  requestId: string
  address: string
  target: Target
  destination: Destination | 'none'
  allowance: Allowance | undefined
  /** As the API calls it. */
  operation: string
}

export type Connection = {
  address: string | undefined
  /** Lifts the idle limit for an answer that goes on. */
  keepOpen(): void
}

const SOCKET_PATH = '/v1/gateway'
// They come often and from one address: they are cheap, and must not be refused.
const PROBES = new Set(['/livez', '/readyz'])
const NO_TARGET: Target = { path: '', search: '' }

/** The way of a request from the socket to the service and back. Never fails: every error becomes a problem. */
export function createPipeline(deps: PipelineDeps) {
  const { metrics, cors, log } = deps
  const addressOf = createAddressReader(deps.config.trustedProxies)

  return async function handle(request: Request, connection: Connection): Promise<Response | undefined> {
    const started = performance.now()
    const { headers } = request
    const exchange: Exchange = {
      requestId: requestId(headers),
      address: addressOf(connection.address, headers),
      target: NO_TARGET,
      destination: 'none',
      allowance: undefined,
      operation: '(none)',
    }
    const trace = continueTrace(request)
    let response: Response | undefined
    try {
      response = await withContext({ requestId: exchange.requestId, ...trace.context }, () =>
        answer(deps, request, exchange),
      )
    } catch (error) {
      const about = { requestId: exchange.requestId, method: request.method, path: loggedPath(exchange.target.path) }
      response = problemResponse(toAppError('UNKNOWN', error, log, about), exchange.requestId)
    }
    if (response === undefined) return undefined
    finishHeaders(response.headers, exchange.requestId, exchange.allowance)
    if (deps.isDraining()) response.headers.set('connection', 'close')
    cors.decorate(response.headers, headers.get('origin'))
    if (response.headers.get('content-type')?.startsWith('text/event-stream')) connection.keepOpen()
    const { status } = response
    const ms = performance.now() - started
    metrics.request(exchange.destination, request.method, status, ms)
    trace.end(exchange, status)
    if (!PROBES.has(exchange.target.path)) {
      const { requestId, operation, destination } = exchange
      log.info(
        { requestId, ...trace.ids, operation, destination, status, ms: Math.round(ms * 10) / 10 },
        'a request was answered',
      )
    }
    return response
  }
}

/**
 * A client's trace goes on here, or one begins. What is passed on names the gateway's own span, so that those of the
 * services hang below it; where traces are off, what the client sent, unless it is malformed.
 */
function continueTrace({ headers, method }: Request) {
  const parent = validTraceparent(headers.get('traceparent'))
  if (parent === undefined) headers.delete('traceparent')
  const span = beginSpan('gateway', {
    kind: 'server',
    parent,
    root: true,
    attributes: { 'conntext.service': 'gateway' },
  })
  const traceparent = span?.traceparent ?? parent
  if (span) headers.set('traceparent', span.traceparent)
  const traceId = traceIdOf(traceparent)
  return {
    context: traceparent === undefined ? {} : { traceparent },
    ids: traceId === undefined ? {} : { traceId },
    end({ operation, destination }: Exchange, status: number): void {
      span?.set({
        'http.request.method': method,
        'http.route': operation,
        'http.response.status_code': status,
        'conntext.destination': destination,
      })
      span?.end(status >= 500 ? new Error(`answered ${status}`) : undefined)
    },
  }
}

async function answer(deps: PipelineDeps, request: Request, exchange: Exchange): Promise<Response | undefined> {
  const { config, cors, admission } = deps
  const target = readTarget(request.url, config.maxUrlBytes)
  exchange.target = target
  if (cors.isPreflight(request)) return cors.preflight(request.headers.get('origin'))
  if (target.path === SOCKET_PATH && isUpgrade(request.headers)) return deps.upgrade(request, exchange)
  const destination = destinationOf(target.path)
  if (destination === undefined) throw requestErrors.noSuchRoute()
  exchange.destination = destination

  const operations = deps.operationsOf(target.path)
  const operation = operations.get(request.method) ?? headOf(request.method, operations)
  if (operation) exchange.operation = operation.id
  const applicant = { path: target.path, address: exchange.address, token: bearerOf(request.headers), operation }
  if (!PROBES.has(target.path)) {
    await admission.admit(applicant, (allowance) => {
      exchange.allowance = allowance
    })
  }
  if (request.method === 'OPTIONS' && !operation) return optionsOf(operations)
  if (waitsForMaintenance(request.method, exchange.operation)) {
    const { token } = applicant
    await deps.maintenance.assertOpen(async () => (token === undefined ? undefined : deps.identify(token)))
  }
  const response = await forward(deps, request, exchange, operations)
  return response.status === 404 && !operation && operations.size > 0 ? wrongMethod(operations, exchange) : response
}

const isUpgrade = (headers: Headers): boolean => headers.get('upgrade')?.toLowerCase() === 'websocket'

const headOf = (method: string, operations: PathOperations): Operation | undefined =>
  method === 'HEAD' ? operations.get('GET') : undefined

async function forward(
  { config, upstreams }: PipelineDeps,
  request: Request,
  { requestId, address, target, destination }: Exchange,
  operations: PathOperations,
): Promise<Response> {
  const body = isStreamed(target.path) ? undefined : await boundBody(request, config.maxJsonBytes)
  cleanHeaders(request.headers, { requestId, address })
  const asGet = request.method === 'HEAD' && !operations.has('HEAD')
  const passed = passable(request, target, { body, asGet })
  try {
    const ask = async () => upstreams[destination as Destination](passed)
    // An upload takes as long as it takes; no other answer may be waited for without end, whatever hangs behind it.
    const response = await (isStreamed(target.path) ? ask() : answerWithin(config.answerMs, ask))
    return asGet ? await withoutBody(response) : response
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw dependencyErrors.away({
      detail: `The ${destination} service can't be reached, or doesn't answer.`,
      retryAfter: 1,
      cause,
    })
  }
}

/**
 * The request itself wherever it can be passed on, since copying one costs more than all the other steps. It can't
 * where its body has been read, where HEAD is answered by GET, or where the Host is not a usable one: services see the
 * URL with it.
 */
function passable(
  request: Request,
  { path, search }: Target,
  change: { body: Uint8Array | undefined; asGet: boolean },
): Request {
  const sane =
    request.url.startsWith('http://') && request.url.length - path.length - search.length >= 'http://host'.length
  if (change.asGet) {
    // A range is for GET alone (RFC 9110, section 14.2).
    request.headers.delete('range')
    request.headers.set(HEAD_HEADER, '1')
    return new Request(`http://localhost${path}${search}`, { method: 'GET', headers: request.headers })
  }
  if (change.body) {
    const { method, headers, signal } = request
    headers.set('content-length', String(change.body.byteLength))
    return new Request(`http://localhost${path}${search}`, { method, headers, signal, body: change.body })
  }
  return sane ? request : new Request(`http://localhost${path}${search}`, request)
}

/** Of a stream Bun would tell no length; here it does, and what was opened for it is closed. Other bodies it counts. */
async function withoutBody(response: Response): Promise<Response> {
  if (!response.headers.has('content-length')) return response
  await response.body?.cancel()
  return new Response(null, response)
}

const allowed = (operations: PathOperations): string => {
  const methods = new Set([...operations.keys(), 'OPTIONS'])
  if (methods.has('GET')) methods.add('HEAD')
  return [...methods].sort().join(', ')
}

function optionsOf(operations: PathOperations): Response {
  if (operations.size === 0) throw requestErrors.noSuchRoute()
  return new Response(null, { status: 204, headers: { allow: allowed(operations) } })
}

function wrongMethod(operations: PathOperations, { requestId }: Exchange): Response {
  const response = problemResponse(requestErrors.wrongMethod(), requestId)
  response.headers.set('allow', allowed(operations))
  return response
}
