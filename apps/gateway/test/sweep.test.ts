import { expect, test } from 'bun:test'
import { closeCodes } from '@conntext/contracts'
import { systemClock } from '@conntext/kernel'
import { eventually } from '@conntext/testing'
import { gatewayConfig } from '../src/config.ts'
import type { Connection } from '../src/sockets/connection.ts'
import type { Connections } from '../src/sockets/connections.ts'
import { startSweep } from '../src/sockets/sweep.ts'

const config = gatewayConfig({ socket: { heartbeatMs: 400, identifyMs: 400, sweepMs: 20 } }).socket

function connection(visibility: object | undefined, identifying = false) {
  const now = performance.now()
  const socket = { getBufferedAmount: () => 0 }
  const closed: number[] = []
  const one = {
    open: true,
    visibility,
    identifying,
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
  Bun.sleepSync(900)
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

test('who has not said who they are in time is ended; who has and waits for the answer is let wait for longer', async () => {
  const silent = connection(undefined)
  const waiting = connection(undefined, true)
  const forgotten = connection(undefined, true)
  for (const { one } of [silent, waiting]) one.openedAt -= 1.5 * config.identifyMs
  forgotten.one.openedAt -= 4 * config.identifyMs
  const all = new Set([waiting.one, silent.one, forgotten.one] as unknown as Connection[])
  const end = startSweep(config, { all } as Connections, systemClock)
  await eventually(() => silent.closed.length > 0)
  end()
  expect([silent.closed[0], forgotten.closed[0]]).toEqual([closeCodes.notIdentified, closeCodes.tryAgainLater])
  expect(waiting.closed).toEqual([])
})
