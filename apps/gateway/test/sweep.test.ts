import { expect, test } from 'bun:test'
import { systemClock } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { gatewayConfig } from '../src/config.ts'
import type { Connection } from '../src/sockets/connection.ts'
import type { Connections } from '../src/sockets/connections.ts'
import { startSweep } from '../src/sockets/sweep.ts'

const config = gatewayConfig({ socket: { heartbeatMs: 100, identifyMs: 100, sweepMs: 20 } }).socket

function connection(visibility: object | undefined) {
  const now = performance.now()
  const socket = { getBufferedAmount: () => 0 }
  const closed: number[] = []
  const one = {
    open: true,
    visibility,
    socket,
    openedAt: now,
    heartbeatAt: now,
    close: (code: number) => closed.push(code),
  }
  return { one, closed }
}

test('nobody is ended for the time in which the gateway itself stood still', async () => {
  const known = connection({})
  const unknown = connection(undefined)
  const all = new Set([known.one, unknown.one] as unknown as Connection[])
  const end = startSweep(config, { all } as Connections, systemClock)
  await Bun.sleep(50)
  Bun.sleepSync(600)
  // What they have said meanwhile is read after the timers that are due.
  setTimeout(() => {
    known.one.heartbeatAt = performance.now()
    unknown.one.visibility = {}
    unknown.one.heartbeatAt = performance.now()
  }, 5)
  await Bun.sleep(60)
  expect([known.closed, unknown.closed]).toEqual([[], []])
  // Who goes on saying nothing is.
  await eventually(() => known.closed.length > 0)
  end()
})
