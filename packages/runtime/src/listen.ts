import type { ServiceHealth, ServiceName } from '@conntext/contracts'
import {
  CREDENTIAL_HEADER,
  dependencyErrors,
  type Handler,
  internalError,
  problemResponse,
  requestId,
} from '@conntext/http'
import { type AppError, ConfigError, defineErrors, equalSecrets, type Logger } from '@conntext/kernel'
import type { Figures } from './figures.ts'
import type { Credentials } from './settings.ts'
import { LENGTH_HEADER, type ProcessState, STATE_HEADER } from './transport/index.ts'

/**
 * For how long a service that is to end still answers, and says that it is about to go, so that whoever asks turns to
 * another. Longer than an answer counts as fresh (`FRESH_MS`), by a second for what delays a request.
 */
const LINGER_MS = 2_000
const FINISH_MS = 10_000
const HEALTH_FRESH_MS = 1_000

const serviceErrors = defineErrors('port', { unauthorised: { status: 401, title: 'Services only' } })

export type Listening = { hostname: string; port: number }

export type ListenerOptions = Listening & {
  name: ServiceName
  version: string
  credentials: Credentials
  figures: Figures
  log: Logger
}

export type Listener = {
  port: number
  /** From now on requests are answered by the service; before, that it is starting. */
  serve(service: Hosted, health: () => Promise<ServiceHealth>): void
  /** Lets others turn elsewhere, finishes what is under way, in bounded time, and closes. */
  drain(): Promise<void>
  close(): Promise<void>
}

type Hosted = { app: Handler; port: Handler }
type Serving = { service: Hosted; health(): Promise<ServiceHealth> }

/**
 * The one port of a service within: its public routes, which gateways pass requests to, and `/internal` for the other
 * services, for whoever shows a service credential; `/livez` and `/readyz` for everybody.
 */
export function listen(options: ListenerOptions): Listener {
  const { log, figures } = options
  let serving: Serving | undefined
  let draining = false
  const stateNow = (): ProcessState | undefined => (draining ? 'draining' : serving ? undefined : 'starting')
  const ready = readiness(() => serving, stateNow)

  const answer = async (request: Request): Promise<Response> => {
    const path = pathOf(request.url)
    if (path === '/livez') return Response.json({ alive: true, service: options.name, version: options.version })
    if (path === '/readyz') return ready()
    if (path === '/metrics') {
      const shown = bearerOf(request.headers) ?? request.headers.get(CREDENTIAL_HEADER)
      return isAccepted(options.credentials, shown) ? figures.answer() : refusal(request, serviceErrors.unauthorised())
    }
    if (!isAccepted(options.credentials, request.headers.get(CREDENTIAL_HEADER))) {
      return refusal(request, serviceErrors.unauthorised())
    }
    if (!serving) return refusal(request, dependencyErrors.away({ detail: 'It is starting.', retryAfter: 1 }))
    const began = performance.now()
    const { kind, response } = await pass(serving.service, request, path, options.credentials.shown)
    figures.add(kind, request.method, response.status, performance.now() - began)
    return response
  }

  const marked = async (request: Request): Promise<Response> => {
    const response = await answer(request)
    const length = response.headers.get('content-length')
    if (length !== null) response.headers.set(LENGTH_HEADER, length)
    const state = stateNow()
    if (state === undefined) return response
    response.headers.set(STATE_HEADER, state)
    if (state === 'draining') response.headers.set('connection', 'close')
    return response
  }
  const server = serveOn(options, marked, (error) => {
    log.error({ err: error }, 'a request failed')
    return problemResponse(internalError(error), requestId(new Headers()))
  })

  return {
    port: server.port ?? options.port,
    serve(service, health) {
      serving = { service, health }
    },
    close: () => server.stop(true),
    async drain() {
      draining = true
      await Bun.sleep(LINGER_MS)
      const timer = setTimeout(() => {
        log.warn({}, 'requests that were still under way were cut off')
        void server.stop(true)
      }, FINISH_MS)
      await server.stop()
      clearTimeout(timer)
    },
  }
}

/** @throws ConfigError where the address can't be had */
function serveOn(
  { hostname, port }: Listening,
  fetch: (request: Request) => Promise<Response> | Response,
  error?: (error: unknown) => Response,
) {
  try {
    return Bun.serve({
      hostname,
      port,
      fetch,
      development: false,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Connections are kept by those who ask: one that ends here while a request is on its way would lose it.
      idleTimeout: 0,
      ...(error && { error }),
    })
  } catch (cause) {
    throw addressFault(cause, { hostname, port }) ?? cause
  }
}

async function pass(
  service: Hosted,
  request: Request,
  path: string,
  credential: string,
): Promise<{ kind: 'call' | 'request'; response: Response }> {
  const known = routable(request, path)
  if (path.startsWith('/internal/')) {
    // It may have come with the one that is being replaced.
    known.headers.set(CREDENTIAL_HEADER, credential)
    return { kind: 'call', response: await service.port.handle(known) }
  }
  known.headers.delete(CREDENTIAL_HEADER)
  return { kind: 'request', response: await service.app.handle(known) }
}

/** Elysia looks for the path from the eleventh character on: a short host's it would miss. */
const routable = (request: Request, path: string): Request =>
  request.url.indexOf('/', 'http://'.length) > 'http://host'.length
    ? request
    : new Request(`http://localhost${request.url.slice(request.url.indexOf(path, 'http://'.length))}`, request)

function pathOf(url: string): string {
  const start = url[0] === '/' ? 0 : url.indexOf('/', url.indexOf('//') + 2)
  const query = url.indexOf('?', start)
  return query === -1 ? url.slice(start) : url.slice(start, query)
}

const bearerOf = (headers: Headers): string | undefined =>
  /^Bearer +(\S+)$/i.exec(headers.get('authorization') ?? '')?.[1]

const isAccepted = ({ accepted }: Credentials, shown: string | null): boolean =>
  shown !== null && accepted.some((one) => equalSecrets(one, shown))

const refusal = (request: Request, error: AppError): Response => problemResponse(error, requestId(request.headers))

/** Asks the service's own health, at most once a second. Tells states alone. */
function readiness(serving: () => Serving | undefined, state: () => ProcessState | undefined) {
  let last: { at: number; health: Promise<ServiceHealth> } | undefined
  return async (): Promise<Response> => {
    const now = serving()
    if (!now) return Response.json({ ready: false, state: 'starting' }, { status: 503 })
    if (!last || performance.now() - last.at > HEALTH_FRESH_MS) last = { at: performance.now(), health: now.health() }
    const health = await last.health.then(
      (found) => found.state,
      () => 'down' as const,
    )
    const ready = health !== 'down' && state() === undefined
    return Response.json({ ready, state: state() ?? health }, { status: ready ? 200 : 503 })
  }
}

/** An address that can't be had is for the operator to change. */
export function addressFault(error: unknown, { hostname, port }: Listening): ConfigError | undefined {
  const faults: Record<string, { setting: string; message: string }> = {
    EADDRINUSE: { setting: 'CONNTEXT_PORT', message: `port ${port} is taken by another program` },
    EACCES: { setting: 'CONNTEXT_PORT', message: `port ${port} is not for this account to listen on` },
    EADDRNOTAVAIL: { setting: 'CONNTEXT_HOST', message: `${hostname} is no address of this machine` },
  }
  const fault = faults[String((error as { code?: unknown } | null)?.code)]
  return fault && new ConfigError([fault])
}

/** Answers in the place of a server that is still waiting for what it needs: that it lives, and isn't ready. */
export function placeholder({ name, version, ...address }: Listening & { name: ServiceName; version: string }) {
  const server = serveOn(address, (request) => {
    const path = pathOf(request.url)
    if (path === '/livez') return Response.json({ alive: true, version })
    if (path === '/readyz') return Response.json({ ready: false, parts: {} }, { status: 503 })
    return refusal(request, dependencyErrors.away({ detail: `The ${name} is starting.`, retryAfter: 1 }))
  })
  return { port: server.port ?? address.port, close: () => server.stop(true) }
}
