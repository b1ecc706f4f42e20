import { createMemoryBus } from '@conntext/bus'
import { createLogger, silentLogger } from '@conntext/kernel'
import { testAuthority } from '@conntext/testing'
import type { Caller } from '../../src/index.ts'
import { Guard } from '../../src/index.ts'

/** A guard over the tests' own auth port, and what routes under `access` need. */
export async function startGuard() {
  const bus = createMemoryBus(silentLogger)
  const authority = await testAuthority(bus)
  const guard = new Guard({ auth: authority.port, bus, log: silentLogger })
  await guard.start()
  const refusals: { caller: Caller; permission: string; route: string }[] = []
  const refused = (caller: Caller, permission: string, route: string) => refusals.push({ caller, permission, route })
  return { authority, guard, refused, refusals, [Symbol.asyncDispose]: () => guard.stop() }
}

/** A logger whose lines a test can look at. */
export function recordingLogger() {
  const lines: string[] = []
  return { lines, log: createLogger({ service: 'test', level: 'debug', write: (line) => lines.push(line) }) }
}

type Sending = { method?: string; token?: string; body?: unknown; headers?: Record<string, string> }

/** A request to a path; a string as the body goes out as it is, anything else as JSON. */
export function request(path: string, { method = 'POST', token, body, headers = {} }: Sending = {}): Request {
  return new Request(`http://localhost${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
}
