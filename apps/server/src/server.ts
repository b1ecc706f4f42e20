import { createMemoryBus } from '@conntext/bus'
import type { VoiceStatus } from '@conntext/contracts'
import { openDataDirectory } from '@conntext/embedded'
import { instanceName, shipLogs } from '@conntext/http'
import { createLogger, LogThreshold } from '@conntext/kernel'
import { addressFault, Lifecycle } from '@conntext/runtime'
import { startTraces } from '@conntext/telemetry'
import asyncapi from '../../../openapi/asyncapi.yaml' with { type: 'text' }
import openapi from '../../../openapi/conntext.json'
import manifest from '../package.json'
import type { ServerConfig } from './config.ts'
import { isFirstStart, makeMasterKey, masterKeys, settleMasterKey } from './master-key.ts'
import { openOperatorDoor } from './operator-door.ts'
import { createServices } from './services.ts'
import { openSetupCode, type SetupCode } from './setup-code.ts'
import { openStores } from './stores.ts'

export type RunningServer = {
  url: string
  setupCode: SetupCode
  voiceStatus(): Promise<VoiceStatus>
  /** At the first signal it drains: clients are told to come back, what is owed is shipped, engines are shut down. */
  endOnSignals(): void
}

/** Starts all of ConnText in this process. What was started is stopped again when a later part fails. */
export async function startServer(config: ServerConfig, say: (line: string) => void): Promise<RunningServer> {
  const logs = shipLogs({ say })
  const logging = new LogThreshold(config.logLevel)
  const log = createLogger({ service: 'server', level: logging, ship: logs.ship })
  const lifecycle = new Lifecycle(log, say)
  try {
    const about = { service: 'server', version: manifest.version, instance: instanceName() }
    await lifecycle.closing('traces', await startTraces(config.traces, about))
    const data = openDataDirectory(config.data)
    await lifecycle.closing('data directory', async () => data.close())
    const firstStart = isFirstStart(data)
    if (firstStart) say(`making a new server in ${data.path}`)
    const setupCode = openSetupCode(data, config.setupCode, firstStart)
    // Made last: while it is missing, the first start has not been completed.
    if (firstStart) makeMasterKey(data)
    say('starting the databases')
    const stores = await openStores({ config, data, log })
    await lifecycle.closing('stores', stores.close)
    await settleMasterKey(data, stores)
    const bus = createMemoryBus(log)
    const { services, gateway, voiceStatus, voiceSelfTest, systemHealth, logStore, beacon } = createServices({
      logs,
      logging,
      config,
      stores,
      bus,
      masterKey: () => masterKeys(data),
      setupCode,
      version: manifest.version,
      openapi,
      asyncapi,
    })
    await lifecycle.closing('logs', async () => {
      await logs.stop()
      await logStore.stop()
    })
    for (const service of services) {
      await service.start()
      await lifecycle.closing(service.name, service.stop)
    }
    await lifecycle.closing('operator door', openOperatorDoor(data, { voiceSelfTest, systemHealth }, log))
    await beacon.start()
    await lifecycle.closing('beacon', beacon.stop)
    await lifecycle.closing('gateway', async () => {
      // Whoever follows the audit trail would hold the gateway up, as a request that is under way.
      services.find(({ name }) => name === 'system')?.drain?.()
      await gateway.stop()
    })
    const { url } = await gateway.start().catch((error: unknown) => {
      throw addressFault(error, config.gateway) ?? error
    })
    return { url, setupCode, voiceStatus, endOnSignals: () => lifecycle.endOnSignals() }
  } catch (error) {
    await lifecycle.close()
    throw error
  }
}
