import { createMemoryBus } from '@conntext/bus'
import { openAudit } from '@conntext/db-audit'
import { openCommunications } from '@conntext/db-communications'
import { openServerDetails } from '@conntext/db-server-details'
import { shipLogs } from '@conntext/http'
import { LogThreshold, silentLogger } from '@conntext/kernel'
import { openFilesystemStore } from '@conntext/object-store'
import manifest from '../../package.json'
import { loadConfig } from '../config.ts'
import { createServices } from '../services.ts'
import { type App, describeApi } from './document.ts'

// Nothing connects before the first query, and none is made.
const NOWHERE = { url: 'postgres://localhost:1/nowhere', applicationName: 'openapi' }

/** The OpenAPI document of the whole server, from the services' own routes; none of them is started. */
export async function describeServer(scratch: string) {
  const serverDetails = openServerDetails(NOWHERE)
  const stores = {
    auth: serverDetails,
    system: serverDetails,
    messaging: openCommunications(NOWHERE),
    audit: openAudit({ url: 'http://localhost:1', username: '', password: '', database: 'nowhere', log: silentLogger }),
    objects: await openFilesystemStore(scratch),
    backups: undefined,
    close: async () => {},
  }
  const { services, gateway } = createServices({
    logging: new LogThreshold('silent'),
    config: loadConfig({ CONNTEXT_LOG_LEVEL: 'silent' }),
    stores,
    bus: createMemoryBus(silentLogger),
    masterKey: new Uint8Array(32),
    setupCode: { read: async () => undefined, discard: async () => {} },
    version: manifest.version,
    openapi: { paths: {} },
    asyncapi: '',
    logs: shipLogs({ say: () => {} }),
  })
  return describeApi([gateway.app, ...services.map(({ app }) => app)] as App[], manifest.version)
}
