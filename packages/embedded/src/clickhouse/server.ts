import { createHash, timingSafeEqual } from 'node:crypto'
import { dispatch } from './dispatch.ts'
import { Engine } from './engine.ts'
import { exceptions } from './exceptions.ts'
import { readRequest } from './request.ts'
import { baseHeaders, errorResponse, outcomeResponse } from './response.ts'
import { Sessions } from './sessions.ts'

export interface ServerOptions {
  directory: string
  user: string
  password: string
  /** 0: the system chooses. */
  port: number
  maxMemoryBytes: number
  concurrency: number
  /** Of a request's body, before and after decompression. */
  maxBodyBytes: number
}

export interface ClickHouseServer {
  port: number
  /** Takes no more requests, waits for the running ones, cancels them after `patienceMs`, and closes the engine. */
  stop(patienceMs: number): Promise<void>
}

/** Requests that run or wait their turn; more are refused, as ClickHouse does. */
const maxRequests = 256

/** Serves ClickHouse's HTTP protocol on loopback, over the engine in this process. */
export function serve(options: ServerOptions): ClickHouseServer {
  const engine = Engine.open(options)
  const sessions = new Sessions(engine)
  const isAuthentic = authenticator(options)
  const active = new Set<Promise<void>>()
  let stopping = false

  const handle = async (request: Request): Promise<Response> => {
    const startedAt = performance.now()
    const headers = baseHeaders('')
    if (!isAuthentic(request)) return errorResponse(exceptions.authenticationFailed(), headers)
    if (stopping || active.size >= maxRequests) return errorResponse(exceptions.tooManyQueries(), headers)
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    active.add(ended)
    const finish = () => {
      active.delete(ended)
      resolve()
    }
    let queryId = ''
    try {
      const query = await readRequest(request, options.maxBodyBytes)
      queryId = query.queryId
      const outcome = await dispatch({ engine, sessions }, query, request.signal)
      const answer = await outcomeResponse(outcome, query, startedAt)
      answer.ended.finally(finish)
      return answer.response
    } catch (error) {
      finish()
      return errorResponse(error, baseHeaders(queryId))
    }
  }

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: options.port,
    maxRequestBodySize: options.maxBodyBytes,
    idleTimeout: 60,
    fetch(request, { timeout }) {
      const path = new URL(request.url).pathname
      if (path === '/ping' || path === '/replicas_status') return new Response('Ok.\n')
      // A query may be silent for longer than a connection may be idle.
      timeout.call(server, request, 0)
      return handle(request)
    },
  })
  return {
    port: server.port!,
    async stop(patienceMs) {
      stopping = true
      await settle(active, patienceMs)
      await engine.kill().catch(() => {})
      await server.stop(true)
      await settle(active, 1_000)
      await sessions.close()
      engine.close()
    },
  }
}

async function settle(active: Set<Promise<void>>, ms: number): Promise<void> {
  const deadline = Date.now() + ms
  while (active.size > 0 && Date.now() < deadline) await Promise.race([...active, Bun.sleep(20)])
}

/** Compares digests, in constant time; of user and password together, so that a wrong user takes no other path. */
function authenticator({ user, password }: ServerOptions): (request: Request) => boolean {
  const digest = (name: string, secret: string) =>
    createHash('sha256').update(`${name.length}:${name}:${secret}`).digest()
  const expected = digest(user, password)
  return (request) => {
    const [name, secret] = credentials(request)
    return timingSafeEqual(digest(name, secret), expected)
  }
}

function credentials(request: Request): [user: string, password: string] {
  const authorization = request.headers.get('authorization')
  if (authorization?.startsWith('Basic ')) {
    const text = Buffer.from(authorization.slice('Basic '.length), 'base64').toString()
    const colon = text.indexOf(':')
    return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  }
  const { searchParams } = new URL(request.url)
  return [
    request.headers.get('x-clickhouse-user') ?? searchParams.get('user') ?? 'default',
    request.headers.get('x-clickhouse-key') ?? searchParams.get('password') ?? '',
  ]
}
