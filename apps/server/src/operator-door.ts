import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { definePort, type PortOf, realtimePort, SystemHealth } from '@conntext/contracts'
import type { Subdirectories } from '@conntext/embedded'
import { callPort, servePort } from '@conntext/http'
import { type Logger, randomToken } from '@conntext/kernel'
import { Type } from '@sinclair/typebox'

/** What a command beside a running server can ask of it that stands in no database. */
const operatorPort = definePort({
  service: 'operator',
  operations: {
    voiceSelfTest: realtimePort.operations.voiceSelfTest,
    systemHealth: {
      repeatable: true,
      request: Type.Object({}, { additionalProperties: false }),
      response: SystemHealth,
    },
  },
})
type OperatorPort = PortOf<typeof operatorPort>

const fileOf = (data: Subdirectories): string => join(data.subdirectory('run'), 'operator.json')

/**
 * Lets commands of this machine ask the server that runs: on loopback alone, with a credential of this start's that
 * stands where nobody but the server's own account reads it. Answers how to close it.
 */
export function openOperatorDoor(data: Subdirectories, port: OperatorPort, log: Logger): () => Promise<void> {
  const credential = randomToken()
  const served = servePort(operatorPort, port, { credential, log })
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 60,
    fetch: (request) => served.handle(request),
  })
  const file = fileOf(data)
  rmSync(file, { force: true })
  writeFileSync(file, JSON.stringify({ url: server.url.origin, credential }), { mode: 0o600, flag: 'wx' })
  return async () => {
    rmSync(file, { force: true })
    await server.stop(true)
  }
}

/** What the server that runs on a data directory can be asked; undefined where it left no word of it. */
export function callOperatorDoor(data: Subdirectories): OperatorPort | undefined {
  try {
    const { url, credential } = JSON.parse(readFileSync(fileOf(data), 'utf8')) as { url: string; credential: string }
    return callPort(operatorPort, { transport: (request) => fetch(request), base: url, credential })
  } catch {
    return undefined
  }
}
