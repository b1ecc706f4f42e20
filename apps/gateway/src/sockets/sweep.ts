import { closeCodes } from '@conntext/contracts'
import type { Clock } from '@conntext/kernel'
import type { GatewayConfig } from '../config.ts'
import type { Connection } from './connection.ts'
import type { Connections } from './connections.ts'

/** How late a heartbeat may be, in heartbeats. */
const HEARTBEAT_GRACE = 1.5
/** Whoever has said who they are waits for this server, which may be busy, or for what it needs: so many times as long. */
const IDENTIFYING_GRACE = 3
/** A round that is late by so many rounds tells of this process, not of the clients. */
const STOOD_STILL = 4

/** Ends the connections whose time is over: one timer for all of them. */
export function startSweep(config: GatewayConfig['socket'], connections: Connections, clock: Clock): () => void {
  let sweptAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    // After this process has stood still, what clients have said meanwhile has yet to be read.
    const stoodStill = now - sweptAt > config.sweepMs * STOOD_STILL
    sweptAt = now
    if (stoodStill) return
    const wallClock = clock.now().getTime()
    for (const connection of connections.all) sweep(config, connection, now, wallClock)
  }, config.sweepMs)
  return () => clearInterval(timer)
}

function sweep(config: GatewayConfig['socket'], connection: Connection, now: number, wallClock: number): void {
  if (!connection.open) return
  const { identity, visibility, identifying } = connection
  const unseenMs = visibility ? 0 : now - connection.openedAt
  if (!identifying && unseenMs > config.identifyMs) {
    connection.close(closeCodes.notIdentified, 'not identified in time')
  } else if (unseenMs > config.identifyMs * IDENTIFYING_GRACE) {
    connection.close(closeCodes.tryAgainLater, 'try again later')
  } else if (identity && wallClock >= identity.expiresAt) {
    connection.close(closeCodes.authenticationFailed, 'the token has expired')
  } else if (now - connection.heartbeatAt > config.heartbeatMs * HEARTBEAT_GRACE) {
    connection.close(closeCodes.heartbeatMissed, 'heartbeat missed')
  } else if (tooSlow(config, connection, now)) {
    connection.close(closeCodes.tooSlow, 'too slow; resume')
  }
}

function tooSlow(config: GatewayConfig['socket'], connection: Connection, now: number): boolean {
  if (connection.socket.getBufferedAmount() <= config.slowBytes) {
    connection.slowSince = undefined
    return false
  }
  connection.slowSince ??= now
  return now - connection.slowSince > config.slowMs
}
