import type { Bus } from '@conntext/bus'
import { type AuditEvent, subjects } from '@conntext/contracts'
import {
  SETTINGS_ID,
  type ServerDetails,
  type SettingsRow,
  serverSettings,
  streamEvents,
  streams,
  systemOutbox,
} from '@conntext/db-server-details'
import type { Logger } from '@conntext/kernel'
import { enqueue, type OutboxEntry } from '@conntext/outbox'
import { appendEvents, type NewEvent, publishEvents } from '@conntext/streams'
import { eq, sql } from 'drizzle-orm'
import { auditEntries } from './recorder.ts'

export type Transaction = Parameters<Parameters<ServerDetails['transaction']>[0]>[0]
export type ChangeDeps = { db: ServerDetails; bus: Bus; log: Logger; nudge(): void }

export const serverStreams = { streams, streamEvents }

/** What a change leaves behind, besides itself. Without an audit event nothing has changed. */
export type Effects = {
  audit: AuditEvent[]
  /** For the server's stream. */
  events: NewEvent[]
  /** For other services. */
  owed: OutboxEntry[]
}

/**
 * Makes a change of what permissions hang on: settings, channels, overrides. Such changes come one after the other,
 * raise the version, and leave their audit and stream events in the same transaction. When it resolves, whoever asks
 * for permissions is answered by the new state, and the gateways have been told, in this order.
 */
export async function change<T>(
  deps: ChangeDeps,
  body: (tx: Transaction, effects: Effects, settings: SettingsRow) => Promise<T>,
): Promise<T> {
  const effects: Effects = { audit: [], events: [], owed: [] }
  const { result, appended } = await deps.db.transaction(async (tx) => {
    const result = await body(tx, effects, await lockSettings(tx))
    if (effects.audit.length === 0) return { result, appended: [] }
    await raiseVersion(tx)
    await enqueue(tx, systemOutbox, [...auditEntries(effects.audit), ...effects.owed])
    return { result, appended: await appendEvents(tx, serverStreams, effects.events) }
  })
  if (effects.audit.length === 0) return result
  await announce(deps)
  await publishEvents(deps.bus, deps.log, appended)
  deps.nudge()
  return result
}

// The lock on the one row is what puts changes in a row.
export async function lockSettings(tx: Transaction): Promise<SettingsRow> {
  const [settings] = await tx.select().from(serverSettings).where(eq(serverSettings.id, SETTINGS_ID)).for('update')
  if (!settings) throw new Error('the server settings have not been made yet')
  return settings
}

/** Whoever has an older snapshot of the permissions knows by it that there is another one. */
export async function raiseVersion(tx: Transaction): Promise<void> {
  await tx.update(serverSettings).set({ version: sql`${serverSettings.version} + 1` })
}

/** Says that what people may do has changed. A bus that is away fails nobody: caches are short-lived. */
export async function announce({ bus, log }: Pick<ChangeDeps, 'bus' | 'log'>): Promise<void> {
  await bus
    .announce(subjects.authority, JSON.stringify({}))
    .catch((error: unknown) => log.warn({ err: error }, 'a change of permissions could not be announced'))
}
