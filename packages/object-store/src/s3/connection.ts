import * as http from 'node:http'
import * as https from 'node:https'
import { Client } from 'minio'
import { ObjectStoreUnavailable } from '../errors.ts'
import { toStoreError } from './errors.ts'

export interface Endpoint {
  /** `http://` or `https://`, a host and perhaps a port. */
  endpoint: string
  region: string
  accessKey: string
  secretKey: string
  /** Names the bucket in the path instead of the host, as self-hosted stores want it. Default true. */
  pathStyle: boolean
}

export interface CallOptions {
  /** Ends the call, which then fails with the signal's reason. */
  stop?: AbortController
  /** Milliseconds until the answer's headers, and a short answer's body, must be there. */
  withinMs: number
}

export interface Connection {
  /** Runs one call of the client's, in bounded time. Fails with an error of this package or the stop's reason. */
  call<T>(options: CallOptions, use: (client: Client) => Promise<T>): Promise<T>
}

// The client takes these for worth a repeat, and throws them away unread.
const unread = new Set([408, 429, 499, 500, 502, 503, 504, 520])

/** Opens no socket yet. Calls share connections, which stay open for the next. */
export function connect({ endpoint, ...options }: Endpoint): Connection {
  const { protocol, hostname, port } = new URL(endpoint)
  const useSSL = protocol === 'https:'
  const base = useSSL ? https : http
  const transportAgent = new base.Agent({ keepAlive: true })
  // One client a call: its transport is the only place at which a call can be given a signal.
  const clientFor = (signal: AbortSignal) =>
    new Client({
      ...options,
      endPoint: hostname.replace(/^\[|\]$/g, ''),
      ...(port !== '' && { port: Number(port) }),
      useSSL,
      transportAgent,
      transport: { request: interruptible(base.request, signal) } as typeof http,
      // It would repeat uploads from streams that are used up, and write to the console.
      retryOptions: { disableRetry: true },
    })
  return {
    async call({ withinMs, stop = new AbortController() }, use) {
      stop.signal.throwIfAborted()
      const late = () => stop.abort(new ObjectStoreUnavailable(`The object store did not answer in ${withinMs} ms`))
      const timer = setTimeout(late, withinMs)
      const stopped = Promise.withResolvers<never>()
      const onAbort = () => stopped.reject(stop.signal.reason)
      stop.signal.addEventListener('abort', onAbort, { once: true })
      try {
        return await Promise.race([use(clientFor(stop.signal)), stopped.promise])
      } catch (error) {
        throw stop.signal.aborted ? stop.signal.reason : toStoreError(error)
      } finally {
        clearTimeout(timer)
        stop.signal.removeEventListener('abort', onAbort)
      }
    },
  }
}

/** `http.request`, ended by the signal. */
function interruptible(request: typeof http.request, signal: AbortSignal) {
  return (options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) =>
    request({ ...options, signal }, (response) => {
      // Keeps the connection usable.
      if (unread.has(response.statusCode ?? 0)) response.resume()
      onResponse(response)
    })
}
