import { type PortCall, requestErrors } from '@conntext/http'
import { DIRECT, forwarded, received, STATE_HEADER } from './headers.ts'
import { Instance } from './instance.ts'

/** Sends a request to a service that is another process. Fails when none of its instances can be had. */
export type NetworkTransport = (request: Request, call?: PortCall) => Promise<Response>

export type TransportOptions = {
  service: string
  /** Base URLs of the instances. */
  urls: string[]
  /** What is shown to the service. */
  credential: string
  /** How long a service that can't be reached is tried for: as long as its restart may take. */
  patienceMs?: number
  /** How long a call of a port may take. */
  callMs?: number
}

/** No instance of a service could be had within the time for which it is tried. */
export class ServiceAway extends Error {
  override name = 'ServiceAway'

  constructor(service: string, options?: ErrorOptions) {
    super(`the ${service} service can't be reached`, options)
  }
}

// JSON up to this is held, so that it can be sent again; other bodies pass through as they come.
const MOST_HELD = 1_048_576
// Of what waits for a service that is away, so much is held by all requests together; each counts for something.
const MOST_WAITING = 67_108_864
const LEAST_COUNTED = 8_192
const PAUSE_MS = { first: 25, longest: 250 }
// A request that may be repeated is, when its connection is lost: so many times.
const MOST_LOST = 3

// Nothing has been sent: the connection could not be made, or the name is (not yet) known.
const NOT_SENT = new Set(
  'ConnectionRefused ECONNREFUSED ENOTFOUND EAI_AGAIN EAI_NODATA EHOSTUNREACH ENETUNREACH EHOSTDOWN FailedToOpenSocket'.split(
    ' ',
  ),
)

// On a connection that was used before, Bun's fetch sends again by itself what HTTP calls idempotent; whoever deletes would
// be told that there is nothing to delete.
const REPEATED_BY_BUN = new Set(['PUT', 'DELETE'])

type Body = { held: Uint8Array | string | undefined } | { streamed: ReadableStream<Uint8Array> }

type Sending = {
  request: Request
  target: string
  headers: Headers
  body: Body
  /** Doing it twice is as good as once. */
  repeatable: boolean
  isCall: boolean
  signal: AbortSignal
}

/**
 * What brings requests to the instances of a service, in turn. A connection that is refused goes to the next instance,
 * and again with growing pauses until `patienceMs` have passed: a restart fails no request. What was sent and not
 * answered is sent again only where that is safe: GET, HEAD, and calls that are marked so.
 *
 * For what is not safe to repeat, or streams, an instance must have answered within the last second without saying that
 * it is about to go; else it is asked first. It serves for longer than that after it has begun to say so, so what is
 * sent arrives before it closes.
 */
export function createTransport(options: TransportOptions): NetworkTransport {
  const { service, credential, patienceMs = 10_000, callMs = 30_000 } = options
  const instances = options.urls.map((url) => new Instance(url))
  const turns = new Turns(instances)
  let waiting = 0

  return async (request, call) => {
    const late = new AbortController()
    const timer = call && setTimeout(() => late.abort(new ServiceAway(service)), callMs)
    try {
      return await bring({
        request,
        target: call ? targetOf(request.url) : publicTargetOf(request.url),
        headers: forwarded(request.headers, credential),
        body: call ? { held: call.body } : await bodyOf(request),
        repeatable: call?.repeatable ?? (request.method === 'GET' || request.method === 'HEAD'),
        isCall: call !== undefined,
        signal: call ? late.signal : request.signal,
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async function bring(sending: Sending): Promise<Response> {
    const deadline = performance.now() + patienceMs
    let lost = 0
    for (let pause = PAUSE_MS.first; ; pause = Math.min(PAUSE_MS.longest, pause * 2)) {
      const tried = await turns.each(async (instance) => {
        const outcome = await attempt(instance, sending)
        if (outcome.kind !== 'lost') return outcome
        lost += 1
        return sending.repeatable && lost < MOST_LOST ? { kind: 'notSent', cause: outcome.cause } : outcome
      })
      if (tried.kind === 'answered') return tried.response
      if (tried.kind === 'lost' || performance.now() > deadline) throw new ServiceAway(service, { cause: tried.cause })
      const size = Math.max(LEAST_COUNTED, heldBytes(sending.body))
      if (waiting + size > MOST_WAITING) throw new ServiceAway(service, { cause: new Error('too much waits for it') })
      waiting += size
      await Bun.sleep(pause)
      waiting -= size
      sending.signal.throwIfAborted()
    }
  }
}

type Outcome =
  | { kind: 'answered'; response: Response }
  /** Nothing was done, so that another may be asked. */
  | { kind: 'notSent'; cause?: unknown }
  /** It was sent, and may have been done. */
  | { kind: 'lost'; cause: unknown }

/** The instances in turn, those that are there first. */
class Turns {
  #next = 0

  constructor(private readonly instances: Instance[]) {}

  /** Tries one after the other until one of them has done something. */
  async each(attempt: (instance: Instance) => Promise<Outcome>): Promise<Outcome> {
    for (const instance of this.instances) if (instance.resting) instance.greetAtTimes()
    const start = this.#next
    this.#next = (start + 1) % this.instances.length
    const inTurn = this.instances.map((_, index) => this.instances[(start + index) % this.instances.length]!)
    let last: Outcome = { kind: 'notSent' }
    for (const instance of [...inTurn.filter((one) => !one.resting), ...inTurn.filter((one) => one.resting)]) {
      const outcome = await attempt(instance)
      if (outcome.kind !== 'notSent') return outcome
      last = outcome.cause === undefined ? last : outcome
    }
    return last
  }
}

async function attempt(instance: Instance, sending: Sending): Promise<Outcome> {
  const { signal } = sending
  signal.throwIfAborted()
  // Also what may be repeated asks first: a machine that is gone doesn't refuse, it says nothing.
  if (!instance.fresh && !(await instance.greet())) return { kind: 'notSent' }
  signal.throwIfAborted()
  const sentAt = performance.now()
  const passesThrough = 'streamed' in sending.body
  try {
    const response = await send(instance, sending)
    instance.heard(response, sentAt)
    if (response.headers.get(STATE_HEADER) === 'starting') {
      await response.body?.cancel()
      return passesThrough ? { kind: 'lost', cause: new Error('it had just started') } : { kind: 'notSent' }
    }
    return { kind: 'answered', response: received(response) }
  } catch (cause) {
    if (signal.aborted) throw cause
    instance.away()
    // What has passed through can't be had again.
    return { kind: isNotSent(cause) && !passesThrough ? 'notSent' : 'lost', cause }
  }
}

async function send(
  instance: Instance,
  { request, target, headers, body, isCall, signal }: Sending,
): Promise<Response> {
  const payload = 'streamed' in body ? body.streamed : body.held
  const response = await fetch(`${instance.url}${target}`, {
    ...DIRECT,
    method: request.method,
    headers,
    ...(payload === undefined ? {} : { body: payload, duplex: 'half' }),
    signal,
    keepalive: !REPEATED_BY_BUN.has(request.method),
    redirect: 'manual',
    decompress: false,
  } as RequestInit)
  if (!isCall) return response
  // An answer that breaks off is as good as none.
  const { status } = response
  return new Response(await response.arrayBuffer(), { status, headers: response.headers })
}

const heldBytes = (body: Body): number => ('held' in body ? (body.held?.length ?? 0) : 0)

const isNotSent = (error: unknown): boolean => NOT_SENT.has(String((error as { code?: unknown } | null)?.code))

/** Path and query, as they are. */
const targetOf = (url: string): string => {
  const start = url[0] === '/' ? 0 : url.indexOf('/', url.indexOf('//') + 2)
  return start === -1 ? '/' : url.slice(start)
}

/**
 * The gateway sees to it already; but what comes with the service credential must not rest on one check alone.
 * @throws request.noSuchRoute (404) for what would become a call of a port, once the path is read as `fetch` reads it
 */
function publicTargetOf(url: string): string {
  const target = targetOf(url)
  if (/^\/+internal(\/|$)/.test(new URL(`http://localhost${target}`).pathname)) throw requestErrors.noSuchRoute()
  return target
}

async function bodyOf(request: Request): Promise<Body> {
  if (request.body === null) return { held: undefined }
  const { headers } = request
  const length = Number(headers.get('content-length') ?? Number.POSITIVE_INFINITY)
  const isJson = headers.get('content-type')?.startsWith('application/json')
  if (!isJson || length > MOST_HELD) return { streamed: request.body }
  try {
    return { held: await request.bytes() }
  } catch (cause) {
    throw requestErrors.unparsable({ detail: 'The body did not arrive whole.', cause })
  }
}
