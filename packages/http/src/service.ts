import type { ServiceName } from '@conntext/contracts'
import type { DirectCalls } from './direct-calls.ts'

/** Something that answers requests: an Elysia app, or whatever stands in for one across a network. */
export type Handler = { handle(request: Request): Promise<Response> }

/**
 * What each service is, in one process or alone: public routes for the gateway to pass requests to, the port for the
 * other services, and a life.
 */
export type Service = {
  name: ServiceName
  app: Handler & { routes: { method: string; path: string; hooks: unknown }[] }
  port: Handler & { direct: DirectCalls }
  /** Starts what runs besides requests; resolves when the service can be used. */
  start(): Promise<void>
  /** Where it has what goes on elsewhere: sends it there, while it still answers. `stop` follows soon. */
  drain?(): void
  /** Finishes what is under way and ships what is owed, in bounded time. Does not close what it was given. */
  stop(): Promise<void>
}
