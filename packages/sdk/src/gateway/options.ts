import type { Events, Ready, Reset, StreamEvent } from './frames.ts'

export type GatewayOptions = {
  /** The server's address, such as `http://localhost:8080`; several that serve the same are taken in turns. */
  baseUrl: string | readonly string[]
  /**
   * A valid access token; asked for at each connection and when the living one's expires. `refused` is the one that
   * the server has just refused: the same again would be in vain.
   */
  token: (refused?: string) => Promise<string>
  /** For runtimes without a global one: Node before 22. */
  WebSocket?: new (
    url: string,
  ) => WebSocket
  /** Pauses between tries to connect. */
  reconnect?: { firstMs: number; longestMs: number }
  /** Whether to tell those who write to one that it has arrived; true unless given. */
  acknowledgeDeliveries?: boolean
  /** How long a connection may take until it is ready, before another one is tried; half a minute unless given. */
  connectMs?: number
  /** How much may wait for listeners that take their time, before the connection is let go for a while; 1,000. */
  maxWaiting?: number
  /** Whether frames are to come packed: less to transfer, more to do. */
  compress?: boolean
}

/** What to listen to: the connection's own news, and each event by its name. */
export type GatewayEvents = Events & {
  ready: Ready
  event: StreamEvent
  /** What came after a cursor is not replayed: fetch the stream's state anew. */
  reset: Reset
  /** The connection has gone; unless `final`, the client is about to come back. */
  disconnected: { code: number; final: boolean }
}

export const DEFAULTS = {
  reconnect: { firstMs: 250, longestMs: 15_000 },
  connectMs: 30_000,
  acknowledgeDeliveries: true,
  maxWaiting: 1_000,
  compress: false,
}
