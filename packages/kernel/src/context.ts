import { AsyncLocalStorage } from 'node:async_hooks'

/** What belongs to the request, delivery or job that is under way. */
export type Context = {
  requestId?: string
  /** The present span, as W3C Trace Context writes it. */
  traceparent?: string
  /** Nothing that is logged here is shipped, and nothing is traced: it is the shipping itself. */
  quiet?: boolean
}

// Handed down by the engine along every await, timer and callback: whoever logs or asks another service needs it, and
// no function in between has anything to do with it.
const storage = new AsyncLocalStorage<Context>()

export const currentContext = (): Context | undefined => storage.getStore()

/** Runs `work`, and all that it begins, in the present context with these changes. */
export const withContext = <T>(change: Context, work: () => T): T =>
  storage.run({ ...storage.getStore(), ...change }, work)

/** Runs `work` as if nothing had led to it: for what outlives a request that happened to begin it. */
export const withoutContext = <T>(work: () => T): T => storage.run({}, work)

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** A `traceparent` header as it may be passed on; undefined where it is missing or malformed. */
export const validTraceparent = (header: string | null | undefined): string | undefined =>
  header && TRACEPARENT.test(header) ? header : undefined

export const traceIdOf = (traceparent: string | undefined): string | undefined => traceparent?.slice(3, 35)

/** Runs what it is given in the context that is the present one now, whenever that is. */
export const captureContext = (): (<T>(work: () => T) => T) => AsyncLocalStorage.snapshot()
