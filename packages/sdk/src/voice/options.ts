import type { HandlerFactory } from 'mediasoup-client/types'
import type { Api } from '../api.ts'
import type { GatewayClient } from '../gateway/client.ts'
import type { IceServers } from '../generated/types.gen.ts'
import type { VoiceProducer } from './frames.ts'

export type VoiceOptions = {
  /** Not connected yet: who is in which call is told with the first `ready`. */
  gateway: GatewayClient
  /** By which the servers are asked for that help media through firewalls. Without, and without `iceServers`, there are none. */
  api?: Api
  /** Instead of asking by `api`. */
  iceServers?: () => Promise<IceServers>
  /** `relay` takes media through relays alone, whatever the server says. */
  iceTransportPolicy?: RTCIceTransportPolicy
  /** What is to be received without being asked for: all, nothing (unless given), or what this one says. */
  autoSubscribe?: boolean | ((producer: VoiceProducer) => boolean)
  /** Whether to join where a moderator moves one; true unless given. */
  followMoves?: boolean
  /** Pauses between tries to come back into a call, in milliseconds. */
  reconnect?: { firstMs: number; longestMs: number }
  /** For how long joining is tried while calls cannot be made for the moment, in milliseconds; 10,000. */
  joinMs?: number
  /** How long media may be interrupted until another way is looked for, in milliseconds; 2,000. */
  iceRestartMs?: number
  /** mediasoup-client's own handler, where it can't tell one by the browser. */
  handlerFactory?: HandlerFactory
}

export const DEFAULTS = {
  followMoves: true,
  reconnect: { firstMs: 250, longestMs: 10_000 },
  joinMs: 10_000,
  iceRestartMs: 2_000,
}
