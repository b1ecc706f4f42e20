import { hostname } from 'node:os'
import { realtimePort, type VoicePort } from '@conntext/contracts'
import { callPort } from '@conntext/http'
import { createTransport, runService, startGuard } from '@conntext/runtime'
import { Type } from '@sinclair/typebox'
import manifest from '../package.json'
import {
  createRealtimeService,
  createWorkerGetter,
  realtimeRules,
  realtimeSettings,
  toRealtimeConfig,
} from './service.ts'

/** Shorter than for other services: a node that is gone has no call that could be waited for. */
const PATIENCE_MS = 2_000

await runService({
  name: 'realtime',
  port: 8084,
  version: manifest.version,
  neighbours: ['auth', 'system', 'messaging'],
  settings: {
    ...realtimeSettings,
    CONNTEXT_VOICE_NODE_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^/?#\\s,]+/?$',
        expects: 'a URL without a path, such as http://realtime-1:8084',
      }),
    ),
  },
  rules: realtimeRules,
  async create(process) {
    const { settings, bus, log, ports, credentials, registry } = process
    // Where any port was taken, it is not known to others.
    const { CONNTEXT_PORT: port } = settings as unknown as { CONNTEXT_PORT: number }
    const url = settings.CONNTEXT_VOICE_NODE_URL ?? (port === 0 ? null : `http://${hostname()}:${port}`)
    return createRealtimeService({
      ...toRealtimeConfig(settings),
      ...{ log, bus, registry, system: ports.system, messaging: ports.messaging },
      guard: await startGuard(process),
      credential: credentials.shown,
      getter: createWorkerGetter({ logger: log }),
      node: { url, reach: reaching(credentials.shown) },
    })
  },
})

/** The other nodes' ports, by their addresses. */
function reaching(credential: string): (url: string) => VoicePort {
  const known = new Map<string, VoicePort>()
  return (url) => {
    const made = known.get(url)
    if (made) return made
    const transport = createTransport({ service: 'realtime', urls: [url], credential, patienceMs: PATIENCE_MS })
    const port = callPort(realtimePort, { transport, credential })
    known.set(url, port)
    return port
  }
}
