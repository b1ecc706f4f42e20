import type { Bus } from '@conntext/bus'
import type { ServiceHealth, SystemPort } from '@conntext/contracts'
import type { Logger } from '@conntext/kernel'
import { streamEvents, streamHeads } from '@conntext/streams'
import type { Ingest } from './audit/ingest.ts'
import { serverStreams } from './change.ts'
import { type RedeemDeps, releaseInvite, reserveInvite } from './invites/redeem.ts'
import type { LogStore } from './logs/store.ts'
import { readSettings } from './server/queries.ts'
import { appendForeign } from './streams/service.ts'

type Deps = RedeemDeps & { bus: Bus; log: Logger; ingest: Ingest; logs: LogStore; health(): Promise<ServiceHealth> }

/** What this service does for the others. */
export const implementPort = (deps: Deps): SystemPort => ({
  streamHeads: async ({ streams }) => ({ heads: await streamHeads(deps.db, serverStreams, streams) }),
  streamEvents: (query) => streamEvents(deps.db, serverStreams, query),
  async appendEvents({ events }) {
    await appendForeign(deps, events)
    return {}
  },
  async ingestAudit(request) {
    await deps.ingest(request)
    return {}
  },
  async ingestLogs(request) {
    deps.logs.take(request)
    return {}
  },
  reserveInvite: (request) => reserveInvite(deps, request),
  async releaseInvite(request) {
    await releaseInvite(deps, request)
    return {}
  },
  registrationMode: async () => ({ mode: (await readSettings(deps.db)).registrationMode }),
  health: () => deps.health(),
})
