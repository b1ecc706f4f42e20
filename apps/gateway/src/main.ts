import { addressFault, placeholder, runProcess, startGuard } from '@conntext/runtime'
import asyncapi from '../../../openapi/asyncapi.yaml' with { type: 'text' }
import openapi from '../../../openapi/conntext.json'
import manifest from '../package.json'
import { createGateway, gatewayConfig, gatewaySettings, toGatewayConfig } from './service.ts'

/** Longer than it takes whoever balances load to see that this gateway is no longer ready. */
const LINGER_MS = 3_000
/** As long as requests wait for a service that is being restarted, and some. */
const PATIENCE_MS = 15_000

await runProcess({
  name: 'gateway',
  version: manifest.version,
  settings: gatewaySettings.properties,
  neighbours: ['auth', 'system', 'messaging', 'realtime'],
  async start(process) {
    const { settings, bus, log, registry, ports, upstreams, closing, untilThere, say } = process
    const config = { ...toGatewayConfig(settings), lingerMs: LINGER_MS, patienceMs: PATIENCE_MS }
    const { hostname } = config
    const waiting = placeholder({ name: 'gateway', version: manifest.version, hostname, port: config.port })
    await closing('placeholder', waiting.close)
    await untilThere('Redis', () => bus.check())
    const guard = await startGuard(process)
    const gateway = createGateway({
      // The same port, where any was taken.
      config: gatewayConfig({ ...config, port: waiting.port }),
      log,
      bus,
      guard,
      upstreams,
      ports,
      openapi,
      asyncapi,
      version: manifest.version,
      metrics: registry,
    })
    await waiting.close()
    const { port } = await gateway.start().catch((error: unknown) => {
      throw addressFault(error, { hostname, port: waiting.port }) ?? error
    })
    await closing('gateway', gateway.stop)
    say(`listening on http://${hostname}:${port}`)
  },
})
